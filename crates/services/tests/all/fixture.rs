use std::{error::Error, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sovd_connector::{Connector, Registry};
pub(crate) use sovd_devstack::within;
use sovd_devstack::{Stack, TestDatabase};
use sovd_domain::{
    Catalog, Clock, Command, CommandId, CommandSpec, JsonSchema, Random, Response, ResponseId,
    Risk, Role, SessionId, SystemClock, SystemRandom, User, UserId, VehicleId, audit::Origin,
};
use sovd_events::{CommandSignal, EventBus};
use sovd_services::{
    Caller, Credential, WorkNotifier,
    commands::{
        Commands, Submission,
        dispatch::{Backoff, DispatchSettings},
    },
};
use sovd_storage::{
    Database, PoolSettings,
    commands::{
        self,
        queue::{self, Claim},
        responses,
    },
    migrations, seeds,
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    commands::watching::poll, parts::Parts, recording_bus::RecordingBus,
    scripted_connector::ScriptedConnector, test_timer::TestTimer,
};

/// The connected vehicle of the seeds, whose id ends in 0101.
pub(crate) const VEHICLE: VehicleId = VehicleId(Uuid::from_u128(0x101));
/// The disconnected vehicle of the seeds.
pub(crate) const OFFLINE: VehicleId = VehicleId(Uuid::from_u128(0x102));
/// The duration of a lease: longer than the timeout of a command, so that a test can advance past the
/// timeout in one step.
pub(crate) const LEASE: Duration = Duration::from_mins(10);
/// The interval between sweeps for unannounced work.
pub(crate) const SWEEP: Duration = Duration::from_secs(1);
/// The sessions of [`engineer`] and [`admin`], which outlast all tests.
const SESSIONS: &str = "
    INSERT INTO sessions (session_id, user_id, refresh_token, expires_at)
    SELECT user_id, user_id, username, now() + interval '10 years' FROM users";

/// The default settings of a dispatcher.
pub(crate) const SETTINGS: DispatchSettings = DispatchSettings {
    concurrency: 8,
    lease: LEASE,
    sweep: SWEEP,
    idle_sweep: SWEEP,
    backoff: Backoff {
        first: Duration::from_secs(1),
        longest: Duration::from_mins(1),
    },
};

/// A database with vehicles, a clock that stands still, and dispatchers to work.
pub(crate) struct TestBed {
    pub(crate) parts: Parts,
    pub(crate) timer: TestTimer,
    pub(crate) connector: Arc<ScriptedConnector>,
    pub(crate) commands: Commands,
    pub(crate) bus: Arc<RecordingBus>,
    database: TestDatabase,
}

impl TestBed {
    /// Creates a test bed with the standard catalog and a command of each other risk.
    pub(crate) async fn new(connector: Arc<ScriptedConnector>) -> Self {
        let prepare = async |url: &str| -> Result<(), Box<dyn Error + Send + Sync>> {
            migrations::up(url).await?;
            seeds::insert(url).await?;
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            let driver = tokio::spawn(connection);
            client.batch_execute(SESSIONS).await?;
            drop(client);
            Ok(driver.await??)
        };
        let database = Stack::shared()
            .unwrap()
            .test_database("logged_in", prepare)
            .await
            .unwrap();
        let pool = PoolSettings {
            size: 2,
            overflow: 8,
            checkout_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(30),
        };
        let timer = TestTimer::at(SystemClock.now());
        let recording = RecordingBus::new();
        let bus: Arc<dyn EventBus> = Arc::<RecordingBus>::clone(&recording);
        let catalog = Catalog::standard()
            .with_settling(Duration::ZERO)
            .with(spec("WriteDataByID", Risk::Write))
            .with(spec("StartRoutine", Risk::Actuate));
        let storage = Database::new(database.url(), pool);
        let parts = Parts::new(storage, bus, timer.clone(), catalog);
        Self {
            commands: parts.commands(),
            parts,
            bus: recording,
            timer,
            connector,
            database,
        }
    }

    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.timer.now()
    }

    /// Returns the time of the sweep after one that takes place now.
    pub(crate) fn next_sweep(&self) -> DateTime<Utc> {
        self.now() + TimeDelta::from_std(SWEEP).unwrap()
    }

    /// Opens a direct connection to the database.
    pub(crate) async fn sql(&self) -> Client {
        self.database.client().await.unwrap()
    }

    /// Submits a command for the connected vehicle.
    pub(crate) async fn submit(&self, command_name: &str) -> CommandId {
        self.submit_with(submission(command_name)).await
    }

    /// Submits a command.
    pub(crate) async fn submit_with(&self, submission: Submission) -> CommandId {
        let submitted = self.commands.submit(&engineer(), submission).await;
        submitted.unwrap().command.command_id
    }

    /// Claims the command on behalf of a process that crashes afterwards.
    pub(crate) async fn claim(&self, command_id: CommandId, lease_end: DateTime<Utc>) -> Claim {
        let mut connection = self.parts.database.connection().await.unwrap();
        let claimed = queue::claim(&mut connection, &[], self.now(), lease_end, 1).await;
        let claim = claimed.unwrap().first().unwrap().claim;
        assert_eq!(claim.command_id, command_id);
        claim
    }

    /// Simulates a crash before sending; the lease expires now.
    pub(crate) async fn crash_before_sending(&self, command_id: CommandId) -> Claim {
        let now = self.now();
        let claim = self.claim(command_id, now).await;
        let mut connection = self.parts.database.connection().await.unwrap();
        commands::start(&mut connection, command_id, now)
            .await
            .unwrap();
        claim
    }

    /// Simulates a crash right after sending; the lease expires now.
    pub(crate) async fn crash_while_sending(&self, command_id: CommandId) -> Claim {
        let claim = self.crash_before_sending(command_id).await;
        let mut connection = self.parts.database.connection().await.unwrap();
        queue::mark_sent(&mut connection, command_id, claim.entry.send_count + 1)
            .await
            .unwrap();
        claim
    }

    /// Simulates a crash after the complete response, of which `parts` are stored.
    pub(crate) async fn crash_after_response(&self, command_id: CommandId, parts: &[Value]) {
        self.crash_while_sending(command_id).await;
        self.store_responses(command_id, parts).await;
        let mut connection = self.parts.database.connection().await.unwrap();
        queue::mark_answered(&mut connection, command_id)
            .await
            .unwrap();
    }

    /// Stores the first chunks of a response.
    pub(crate) async fn store_responses(&self, command_id: CommandId, parts: &[Value]) {
        let mut connection = self.parts.database.connection().await.unwrap();
        for (number, payload) in (1..).zip(parts) {
            let response = Response {
                response_id: ResponseId(SystemRandom.uuid()),
                command_id,
                response_payload: payload.clone(),
                sequence_number: number,
                is_final: false,
                received_at: self.now(),
            };
            responses::insert(&mut connection, &response).await.unwrap();
        }
    }

    /// Marks the vehicle as connected.
    pub(crate) async fn connect(&self, vehicle_id: VehicleId) {
        self.set_connection(vehicle_id, "connected").await;
    }

    /// Marks the vehicle as disconnected.
    pub(crate) async fn disconnect(&self, vehicle_id: VehicleId) {
        self.set_connection(vehicle_id, "disconnected").await;
    }

    async fn set_connection(&self, vehicle_id: VehicleId, status: &str) {
        let sql = "UPDATE vehicles SET connection_status = $2 WHERE vehicle_id = $1";
        let client = self.sql().await;
        client
            .execute(sql, &[&vehicle_id.0, &status])
            .await
            .unwrap();
    }

    /// Starts a dispatcher in the process of the command service.
    pub(crate) fn start_dispatcher(&self) -> RunningDispatcher {
        self.start_dispatcher_with(SETTINGS)
    }

    pub(crate) fn start_dispatcher_with(&self, settings: DispatchSettings) -> RunningDispatcher {
        self.start_dispatcher_through(self.parts.work_notifier.clone(), settings)
    }

    /// Starts a dispatcher that is notified only through the database, as in another process.
    pub(crate) fn start_remote_dispatcher(&self) -> RunningDispatcher {
        self.start_dispatcher_through(WorkNotifier::default(), SETTINGS)
    }

    fn start_dispatcher_through(
        &self,
        work_notifier: WorkNotifier,
        settings: DispatchSettings,
    ) -> RunningDispatcher {
        let connector: Arc<dyn Connector> = Arc::<ScriptedConnector>::clone(&self.connector);
        let registry = Registry::new(vec![connector], ScriptedConnector::NAME).unwrap();
        let dispatcher = self.parts.dispatcher(registry, work_notifier, settings);
        let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(dispatcher.run(stop.clone(), give_up.clone()));
        RunningDispatcher {
            stop,
            give_up,
            task,
        }
    }

    /// Waits for a failed attempt and returns the time at which the command is due again.
    pub(crate) async fn wait_for_retry(&self, command_id: CommandId) -> DateTime<Utc> {
        let sql = "SELECT due_at FROM command_queue
                   WHERE command_id = $1 AND lease_id IS NULL AND due_at > $2";
        let client = self.sql().await;
        poll("a command to be postponed", async || {
            let row = client.query_opt(sql, &[&command_id.0, &self.now()]).await;
            row.unwrap().map(|row| row.get(0))
        })
        .await
    }

    /// Waits for a failed attempt and advances the clock to the next one.
    pub(crate) async fn advance_past_backoff(&self, command_id: CommandId) {
        let due_at = self.wait_for_retry(command_id).await;
        self.advance_to(due_at).await;
    }

    /// Advances the clock by the timeout of a command.
    pub(crate) async fn advance_past_timeout(&self) {
        let timeout = TimeDelta::from_std(CommandSpec::DEFAULT_TIMEOUT).unwrap();
        self.advance_to(self.now() + timeout).await;
    }

    /// Waits until the command has no lease and advances the clock past its expiry.
    pub(crate) async fn advance_past_expiry(&self, command_id: CommandId) {
        let sql = "SELECT expires_at FROM command_queue
                   WHERE command_id = $1 AND lease_id IS NULL";
        let client = self.sql().await;
        let expires_at: DateTime<Utc> = poll("a lease to end", async || {
            let row = client.query_opt(sql, &[&command_id.0]).await;
            row.unwrap().map(|row| row.get(0))
        })
        .await;
        let step = expires_at - self.now();
        self.timer
            .advance(step + TimeDelta::from_std(SWEEP).unwrap());
    }

    /// Waits until a task sleeps until `moment`, and advances the clock to it.
    pub(crate) async fn advance_to(&self, moment: DateTime<Utc>) {
        within(
            "a task to sleep until the moment",
            self.timer.awaited(moment),
        )
        .await;
        self.timer.advance(moment - self.now());
    }

    /// Waits until the command has completed or failed.
    pub(crate) async fn wait_for_end(&self, command_id: CommandId) -> Command {
        self.wait_until(command_id, |command| command.status.is_terminal())
            .await
    }

    /// Waits until the command fulfills `is_reached`.
    pub(crate) async fn wait_until(
        &self,
        command_id: CommandId,
        is_reached: impl Fn(&Command) -> bool,
    ) -> Command {
        let mut events = self.parts.bus.subscribe(command_id);
        within("a state of a command", async {
            loop {
                let command = self.command(command_id).await;
                if is_reached(&command) {
                    return command;
                }
                // Findings are not published.
                let event = timeout(Duration::from_millis(20), events.next()).await;
                debug_assert!(matches!(
                    event,
                    Ok(CommandSignal::Event(_) | CommandSignal::Reread) | Err(_)
                ));
            }
        })
        .await
    }

    pub(crate) async fn command(&self, command_id: CommandId) -> Command {
        let mut connection = self.parts.database.connection().await.unwrap();
        commands::find(&mut connection, command_id, None)
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn responses(&self, command_id: CommandId) -> Vec<Response> {
        let mut connection = self.parts.database.connection().await.unwrap();
        responses::list(&mut connection, command_id, 0)
            .await
            .unwrap()
    }

    /// Returns the actions and details of the audit entries of a command, in order.
    pub(crate) async fn audit_entries(&self, command_id: CommandId) -> Vec<(String, Value)> {
        let sql = "SELECT action, details FROM audit_logs WHERE command_id = $1
                   ORDER BY timestamp, ctid";
        let client = self.sql().await;
        let rows = client.query(sql, &[&command_id.0]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

/// The engineer of the seeds.
pub(crate) fn engineer() -> Caller {
    Caller {
        user: User {
            user_id: UserId(Uuid::from_u128(2)),
            username: "engineer".to_owned(),
            email: "engineer@sovd.example.com".to_owned(),
            role: Role::Engineer,
            is_active: true,
            created_at: SystemClock.now(),
        },
        credential: Credential::Session(SessionId(Uuid::from_u128(2))),
        scope: None,
        admitted: Vec::new(),
        expires_at: SystemClock.now() + TimeDelta::hours(1),
        origin: Origin::default(),
    }
}

/// The administrator of the seeds.
pub(crate) fn admin() -> Caller {
    let engineer = engineer();
    Caller {
        user: User {
            user_id: UserId(Uuid::from_u128(1)),
            role: Role::Admin,
            ..engineer.user
        },
        credential: Credential::Session(SessionId(Uuid::from_u128(1))),
        ..engineer
    }
}

/// Returns a submission for the connected vehicle.
pub(crate) fn submission(command_name: &str) -> Submission {
    let command_params = match command_name {
        "ReadDataByID" => json!({ "ecuAddress": "0x10", "dataId": "0xF190" }),
        _ => json!({ "ecuAddress": "0x10" }),
    };
    Submission {
        vehicle_id: VEHICLE,
        command_name: command_name.to_owned(),
        command_params,
        expires_in: None,
        queue_if_offline: false,
        skip_evidence: false,
        idempotency_key: None,
    }
}

/// Returns a command that is neither idempotent nor erases faults.
fn spec(name: &'static str, risk: Risk) -> CommandSpec {
    CommandSpec {
        name,
        title: name,
        description: name,
        risk,
        idempotent: false,
        params_schema: JsonSchema::new(json!({ "type": "object" })).unwrap(),
        allowed_roles: &[Role::Engineer],
        timeout: CommandSpec::DEFAULT_TIMEOUT,
        evidence: None,
        reports_faults: false,
    }
}

/// A running dispatcher.
pub(crate) struct RunningDispatcher {
    stop: CancellationToken,
    give_up: CancellationToken,
    task: JoinHandle<()>,
}

impl RunningDispatcher {
    /// Stops it from claiming further commands.
    pub(crate) fn drain(&self) {
        self.stop.cancel();
    }

    /// Stops it after the commands in progress.
    pub(crate) async fn stop(self) {
        self.drain();
        within("a dispatcher to stop", self.task).await.unwrap();
    }

    /// Stops it and aborts the commands in progress.
    pub(crate) async fn abort(self) {
        self.stop.cancel();
        self.give_up.cancel();
        within("a dispatcher to abort", self.task).await.unwrap();
    }
}
