use std::{collections::HashMap, sync::Arc, sync::Mutex, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use futures_util::{StreamExt, stream};
use serde_json::json;
use sovd_connector::{
    CommandRequest, Connector, ConnectorError, Registry, ResponseChunk, ResponseStream,
};
use sovd_devstack::{Stack, TestDatabase};
use sovd_domain::{
    Catalog, Command, CommandId, CommandStatus, SystemClock, SystemRandom, UserId, VehicleId,
};
use sovd_events::LocalBus;
use sovd_services::{
    Environment,
    dispatch::{DispatchSettings, Dispatcher},
};
use sovd_storage::{Database, PoolSettings, commands, migrations, queue, queue::Claim, seeds};
use tokio::{sync::Notify, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);
const ENGINEER: UserId = UserId(Uuid::from_u128(2));
/// The connected vehicle of the seeds, whose id ends in 0101.
const VEHICLE: VehicleId = VehicleId(Uuid::from_u128(0x101));

/// A database with work in it, and dispatchers to do it.
pub(crate) struct Rig {
    environment: Environment,
    connector: Arc<Scripted>,
    new_work: Arc<Notify>,
    _database: TestDatabase,
}

impl Rig {
    pub(crate) async fn with(connector: Arc<Scripted>) -> Self {
        Self::with_timeout(connector, PATIENCE).await
    }

    /// Every command has `limit` to be answered.
    pub(crate) async fn with_timeout(connector: Arc<Scripted>, limit: Duration) -> Self {
        let prepare = async |url: &str| {
            migrations::up(url).await?;
            seeds::insert(url).await
        };
        let database = Stack::shared()
            .unwrap()
            .test_database("seeded", prepare)
            .await
            .unwrap();
        let pool = PoolSettings {
            size: 2,
            overflow: 8,
            checkout_timeout: Duration::from_secs(3),
        };
        let environment = Environment {
            database: Database::new(database.url(), pool),
            bus: Arc::new(LocalBus::new(64)),
            catalog: Arc::new(Catalog::standard().with_timeout(limit)),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        Self {
            environment,
            connector,
            new_work: Arc::default(),
            _database: database,
        }
    }

    pub(crate) fn database(&self) -> &Database {
        &self.environment.database
    }

    /// Puts a command in the queue.
    pub(crate) async fn queue(&self, command_name: &str) -> CommandId {
        let now = self.environment.clock.now();
        let command = Command {
            command_id: CommandId(self.environment.random.uuid()),
            user_id: ENGINEER,
            vehicle_id: VEHICLE,
            command_name: command_name.to_owned(),
            command_params: json!({ "ecuAddress": "0x10" }),
            status: CommandStatus::Pending,
            failure_kind: None,
            error_message: None,
            submitted_at: now,
            started_at: None,
            completed_at: None,
            expires_at: now + TimeDelta::hours(1),
        };
        let mut transaction = self.database().begin().await.unwrap();
        commands::insert(&mut transaction, &command).await.unwrap();
        queue::push(&mut transaction, command.command_id, VEHICLE, now)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        self.new_work.notify_one();
        command.command_id
    }

    /// Leaves the command as a process does that dies right after it sent it.
    pub(crate) async fn crash_while_sending(&self, command_id: CommandId) -> Claim {
        let now = self.environment.clock.now();
        let mut connection = self.database().connection().await.unwrap();
        let claims = queue::claim(&mut connection, now, now, 1).await.unwrap();
        let claim = *claims.first().unwrap();
        assert_eq!(claim.command_id, command_id);
        commands::start(&mut connection, command_id, now)
            .await
            .unwrap()
            .unwrap();
        claim
    }

    /// Starts a dispatcher, as another process would.
    pub(crate) fn dispatch(&self) -> Running {
        let connector: Arc<dyn Connector> = Arc::<Scripted>::clone(&self.connector);
        let registry = Registry::new(vec![connector], Scripted::NAME).unwrap();
        let settings = DispatchSettings {
            concurrency: 8,
            lease: Duration::from_secs(30),
            sweep: Duration::from_millis(50),
        };
        let new_work = Arc::clone(&self.new_work);
        let dispatcher = Dispatcher::new(
            self.environment.clone(),
            Arc::new(registry),
            settings,
            new_work,
        );
        let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(dispatcher.run(stop.clone(), give_up));
        Running { stop, task }
    }

    /// Waits until the command has ended.
    pub(crate) async fn ended(&self, command_id: CommandId) -> Command {
        let mut events = self.environment.bus.subscribe(command_id);
        timeout(PATIENCE, async {
            loop {
                let command = self.look_at(command_id).await;
                if command.status.is_terminal() {
                    return command;
                }
                events.next().await;
            }
        })
        .await
        .unwrap()
    }

    async fn look_at(&self, command_id: CommandId) -> Command {
        let mut connection = self.database().connection().await.unwrap();
        commands::find(&mut connection, command_id, None)
            .await
            .unwrap()
            .unwrap()
    }
}

/// A dispatcher at work.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

/// A connector that does as it is told, and counts.
pub(crate) struct Scripted {
    chunks: Option<Vec<ResponseChunk>>,
    executions: Mutex<HashMap<CommandId, usize>>,
}

impl Scripted {
    const NAME: &str = "scripted";

    pub(crate) fn answering(chunks: Vec<ResponseChunk>) -> Self {
        Self {
            chunks: Some(chunks),
            executions: Mutex::default(),
        }
    }

    pub(crate) fn hanging() -> Self {
        Self {
            chunks: None,
            executions: Mutex::default(),
        }
    }

    pub(crate) fn executions(&self, command_id: CommandId) -> usize {
        self.executions
            .lock()
            .unwrap()
            .get(&command_id)
            .copied()
            .unwrap_or_default()
    }
}

#[async_trait]
impl Connector for Scripted {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn execute(&self, request: CommandRequest) -> Result<ResponseStream, ConnectorError> {
        *self
            .executions
            .lock()
            .unwrap()
            .entry(request.command_id)
            .or_default() += 1;
        Ok(match self.chunks.clone() {
            Some(chunks) => stream::iter(chunks.into_iter().map(Ok)).boxed(),
            None => stream::pending().boxed(),
        })
    }
}
