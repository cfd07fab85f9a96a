use std::{future::Future, time::Duration};

use futures_util::StreamExt;
use sovd_connector::{CommandRequest, Connector, ConnectorError, ResponseChunk, ResponseStream};
use sovd_domain::{Command, CommandSpec, FailureKind, ResponseId, Vehicle};
use sovd_storage::{StorageError, commands, queue, queue::Claim, responses, vehicles};
use tokio::time::{Instant, interval_at, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    Dispatcher, Failure,
    record::{self, Recorded},
};

/// How often an idempotent command is sent when the processes that send it keep dying.
const MAX_ATTEMPTS: i32 = 3;

/// How long to wait before the database is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// One command on its way, from the claim to its end.
pub(super) struct Execution {
    dispatcher: Dispatcher,
    claim: Claim,
    lease_end: Instant,
    give_up: CancellationToken,
}

/// Why an execution stops without having written an end.
#[derive(Debug)]
enum Abandoned {
    /// Somebody else has the command now, or will when the lease ends.
    ClaimLost,
    /// This process is shutting down.
    ShuttingDown,
    /// The database does not do what it is asked.
    Storage(StorageError),
}

/// What is needed to send the command.
struct Loaded {
    command: Command,
    vehicle: Vehicle,
    last_number: i32,
}

impl Execution {
    /// An execution of a claim whose lease ends at `lease_end`, unless it is renewed.
    pub(super) fn new(
        dispatcher: Dispatcher,
        claim: Claim,
        lease_end: Instant,
        give_up: CancellationToken,
    ) -> Self {
        Self {
            dispatcher,
            claim,
            lease_end,
            give_up,
        }
    }

    pub(super) async fn run(self) {
        let command_id = self.claim.command_id;
        match self.carry_out().await {
            Ok(()) => {}
            Err(Abandoned::ClaimLost) => {
                tracing::warn!(%command_id, "lost the claim, another process goes on");
            }
            Err(Abandoned::ShuttingDown) => {
                tracing::warn!(%command_id, "abandoned at shutdown, another process goes on");
                self.release().await;
            }
            Err(Abandoned::Storage(error)) => {
                tracing::error!(%command_id, %error, "abandoned until the lease ends");
            }
        }
    }

    /// Carries the command out while it keeps the lease.
    async fn carry_out(&self) -> Result<(), Abandoned> {
        tokio::select! {
            ended = self.send() => ended,
            lost = self.keep_lease() => Err(lost),
            () = self.give_up.cancelled() => Err(Abandoned::ShuttingDown),
        }
    }

    async fn send(&self) -> Result<(), Abandoned> {
        // A deleted command has left the queue too.
        let loaded = self
            .persist(|| self.load())
            .await?
            .ok_or(Abandoned::ClaimLost)?;
        let Some(spec) = self
            .dispatcher
            .environment
            .catalog
            .get(&loaded.command.command_name)
        else {
            return self
                .fail(FailureKind::Internal, "the catalogue has it no more")
                .await;
        };
        if loaded.command.started_at.is_some() {
            if !spec.idempotent {
                let message = "the process that sent it died before the answer came";
                return self.fail(FailureKind::OutcomeUnknown, message).await;
            }
            if self.claim.attempt > MAX_ATTEMPTS {
                let message = "it was sent three times, and no process lived to hear the answer";
                return self.fail(FailureKind::Internal, message).await;
            }
        }
        let connector = match self.dispatcher.connectors.connector_for(&loaded.vehicle) {
            Ok(connector) => connector,
            Err(error) => return self.fail(FailureKind::Internal, &error.to_string()).await,
        };
        let started = self
            .persist(|| record::started(&self.dispatcher.environment, &self.claim))
            .await?;
        self.tell(started)?;
        match self.converse(connector, spec, loaded).await {
            Ok(None) => Ok(()),
            Ok(Some(failure)) => self.fail(failure.kind, &failure.message).await,
            Err(Abandoned::Storage(error)) => {
                let command_id = self.claim.command_id;
                tracing::error!(%command_id, %error, "an answer cannot be stored");
                let failure = Failure::unstorable(spec);
                self.fail(failure.kind, &failure.message).await
            }
            Err(abandoned) => Err(abandoned),
        }
    }

    /// Sends the command and writes down every chunk. Gives nothing when the answer is complete.
    async fn converse(
        &self,
        connector: &dyn Connector,
        spec: &CommandSpec,
        loaded: Loaded,
    ) -> Result<Option<Failure>, Abandoned> {
        let mut deadline = Instant::now() + spec.timeout;
        let mut last_number = loaded.last_number;
        let request = loaded.request();
        let mut answer = match before(deadline, connector.execute(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) | Err(error) => return Ok(Some(Failure::from_error(&error, spec))),
        };
        loop {
            let chunk = match before(deadline, answer.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) | Err(error) => {
                    return Ok(Some(Failure::from_error(&error, spec)));
                }
                Ok(None) => return Ok(Some(Failure::incomplete())),
            };
            last_number += 1;
            let answered_at = Instant::now();
            self.write(last_number, &chunk).await?;
            // The time that our database takes is not the vehicle's.
            deadline += answered_at.elapsed();
            if chunk.is_final {
                warn_of_more(self.claim, answer);
                return Ok(None);
            }
        }
    }

    async fn write(&self, number: i32, chunk: &ResponseChunk) -> Result<(), Abandoned> {
        let environment = &self.dispatcher.environment;
        let response_id = ResponseId(environment.random.uuid());
        let recorded = self
            .persist(|| record::chunk(environment, &self.claim, response_id, number, chunk))
            .await?;
        self.tell(recorded)
    }

    async fn fail(&self, kind: FailureKind, message: &str) -> Result<(), Abandoned> {
        let failure = Failure {
            kind,
            // A vehicle's own words may hold what PostgreSQL cannot keep.
            message: message.replace('\0', ""),
        };
        let environment = &self.dispatcher.environment;
        let recorded = self
            .persist(|| record::failed(environment, &self.claim, &failure))
            .await?;
        self.tell(recorded)
    }

    fn tell(&self, recorded: Recorded) -> Result<(), Abandoned> {
        let Recorded::Done(events) = recorded else {
            return Err(Abandoned::ClaimLost);
        };
        for event in events {
            self.dispatcher.outbox.put(event);
        }
        Ok(())
    }

    async fn load(&self) -> Result<Option<Loaded>, StorageError> {
        let mut connection = self.dispatcher.environment.database.connection().await?;
        let command_id = self.claim.command_id;
        let Some(command) = commands::find(&mut connection, command_id, None).await? else {
            return Ok(None);
        };
        let Some(vehicle) = vehicles::find(&mut connection, command.vehicle_id).await? else {
            return Ok(None);
        };
        let last_number = responses::last_number(&mut connection, command_id).await?;
        Ok(Some(Loaded {
            command,
            vehicle,
            last_number,
        }))
    }

    /// Tries until the database is there. A lease that ends meanwhile ends the execution.
    async fn persist<T, F>(&self, work: impl Fn() -> F) -> Result<T, Abandoned>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        loop {
            match work().await {
                Ok(value) => return Ok(value),
                Err(StorageError::Unavailable(reason)) => {
                    let command_id = self.claim.command_id;
                    tracing::warn!(%command_id, %reason, "cannot write, trying again");
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(Abandoned::Storage(error)),
            }
        }
    }

    /// Renews the lease until it is lost. A database that does not answer loses it too: another
    /// process may have the command by then.
    async fn keep_lease(&self) -> Abandoned {
        let lease = self.dispatcher.settings.lease;
        let mut end = self.lease_end;
        let step = lease / 3;
        let mut ticks = interval_at(Instant::now() + step, step);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = sleep_until(end) => return Abandoned::ClaimLost,
            }
            let asked_at = Instant::now();
            let command_id = self.claim.command_id;
            match timeout_at(end, self.renew()).await {
                Ok(Ok(true)) => end = asked_at + lease,
                Ok(Ok(false)) | Err(_) => return Abandoned::ClaimLost,
                Ok(Err(error)) => {
                    tracing::warn!(%command_id, %error, "cannot renew the lease, trying again");
                }
            }
        }
    }

    async fn renew(&self) -> Result<bool, StorageError> {
        let environment = &self.dispatcher.environment;
        let until = environment.clock.now() + self.dispatcher.lease();
        let mut connection = environment.database.connection().await?;
        queue::renew(&mut connection, &self.claim, until).await
    }

    async fn release(&self) {
        let released = async {
            let mut connection = self.dispatcher.environment.database.connection().await?;
            queue::release(&mut connection, &self.claim).await
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "cannot release a claim, its lease will end");
        }
    }
}

impl Loaded {
    fn request(self) -> CommandRequest {
        CommandRequest {
            command_id: self.command.command_id,
            vehicle_id: self.vehicle.vehicle_id,
            vin: self.vehicle.vin,
            command_name: self.command.command_name,
            params: self.command.command_params,
        }
    }
}

impl Failure {
    /// What a connector's error means for a command, see the table in the crate's documentation.
    fn from_error(error: &ConnectorError, spec: &CommandSpec) -> Self {
        let kind = match error {
            ConnectorError::Rejected { .. } => FailureKind::Rejected,
            ConnectorError::Unreachable { .. }
            | ConnectorError::Unsupported { .. }
            | ConnectorError::Timeout { sent: false }
            | ConnectorError::Broken { sent: false } => FailureKind::Unreachable,
            ConnectorError::Timeout { sent: true } if spec.idempotent => FailureKind::Timeout,
            ConnectorError::Timeout { sent: true } | ConnectorError::Broken { sent: true } => {
                FailureKind::OutcomeUnknown
            }
        };
        Self {
            kind,
            message: error.to_string(),
        }
    }

    /// The vehicle answered, and the database does not take the answer.
    fn unstorable(spec: &CommandSpec) -> Self {
        let kind = if spec.idempotent {
            FailureKind::Internal
        } else {
            FailureKind::OutcomeUnknown
        };
        Self {
            kind,
            message: "the vehicle answered, and its answer could not be stored".to_owned(),
        }
    }

    fn incomplete() -> Self {
        Self {
            kind: FailureKind::OutcomeUnknown,
            message: "the answer ended before its final part".to_owned(),
        }
    }
}

/// Waits for the vehicle until `deadline`. The command is with the connector, so it may have been
/// sent.
async fn before<T>(
    deadline: Instant,
    answer: impl Future<Output = T>,
) -> Result<T, ConnectorError> {
    timeout_at(deadline, answer)
        .await
        .map_err(|_| ConnectorError::Timeout { sent: true })
}

/// What comes after the end is stored nowhere.
fn warn_of_more(claim: Claim, mut rest: ResponseStream) {
    use futures_util::FutureExt;
    if let Some(Some(_)) = rest.next().now_or_never() {
        tracing::warn!(command_id = %claim.command_id, "a chunk came after the final one");
    }
}
