use std::{future::Future, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use serde_json::Value;
use sovd_connector::{CommandRequest, Connector, ConnectorError};
use sovd_domain::{Command, CommandSpec, Evidence, ResponseId, Vehicle};
use sovd_storage::{
    StorageError,
    commands::{
        self,
        queue::{self, Claim, Task},
        responses,
    },
    fleet::vehicles,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Dispatcher,
    lease::LeaseEnd,
    outcome::Setback,
    probe,
    record::{self, Part, Place, Recorded, Told},
    sending,
};
use crate::commands::completion::Failure;

/// How many chunks one answer may have. What goes on for longer does not end.
pub(super) const MAX_CHUNKS: usize = 10_000;

/// How long to wait before the database is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// One task on its way, from the claim to its end.
pub(super) struct Execution {
    pub(super) dispatcher: Dispatcher,
    pub(super) claim: Claim,
    pub(super) lease_end: LeaseEnd,
    pub(super) stops: Stops,
}

/// What stops an execution from outside.
pub(super) struct Stops {
    /// The process is shutting down.
    pub(super) give_up: CancellationToken,
    /// The command was called off.
    pub(super) called_off: CancellationToken,
}

/// Why an execution stops without having written an end.
#[derive(Debug)]
pub(super) enum Abandoned {
    /// The command was called off, somebody else has it now, or will when the lease ends.
    ClaimLost,
    /// This process is shutting down.
    ShuttingDown,
    /// The database does not do what it is asked.
    Storage(StorageError),
}

/// How an execution that was not abandoned leaves its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It is done.
    Done,
    /// It is to be tried again at this moment.
    Until(DateTime<Utc>),
}

/// What a task is about.
pub(super) struct Subject {
    pub(super) command: Command,
    pub(super) vehicle: Vehicle,
    /// The number of the last part of the answer so far.
    pub(super) last_number: i32,
}

impl Execution {
    /// Works on the task; gives the moment to look at it again, if there is one.
    pub(super) async fn run(self) -> Option<DateTime<Utc>> {
        let command_id = self.claim.command_id;
        match self.carry_out().await {
            Ok(Left::Done) => None,
            Ok(Left::Until(moment)) => Some(moment),
            Err(Abandoned::ClaimLost) => {
                tracing::warn!(
                    %command_id,
                    "the claim is gone: what the vehicle still answers is stored nowhere"
                );
                self.let_go().await;
                None
            }
            Err(Abandoned::ShuttingDown) => {
                tracing::warn!(%command_id, "abandoned at shutdown, another process goes on");
                self.release().await;
                None
            }
            Err(Abandoned::Storage(error)) => {
                tracing::error!(%command_id, %error, "abandoned until the lease ends");
                None
            }
        }
    }

    /// Works on the task while it keeps the lease. What loses drops the connector's stream.
    async fn carry_out(&self) -> Result<Left, Abandoned> {
        tokio::select! {
            biased;
            () = self.stops.called_off.cancelled() => Err(Abandoned::ClaimLost),
            () = self.stops.give_up.cancelled() => Err(Abandoned::ShuttingDown),
            // Before the lease: what it has just ended has no lease any more.
            left = self.work() => left,
            lost = self.keep_lease() => Err(lost),
        }
    }

    async fn work(&self) -> Result<Left, Abandoned> {
        // A deleted command has left the queue too.
        let subject = self
            .persist(|| self.load())
            .await?
            .ok_or(Abandoned::ClaimLost)?;
        match self.claim.entry.task {
            Task::Command => sending::run(self, subject).await,
            Task::Probe => probe::run(self, subject).await,
        }
    }

    /// Reads what a command is about to erase, or what is left, from its first chunk to its last.
    pub(super) async fn read_faults(
        &self,
        connector: &dyn Connector,
        evidence: &Evidence,
        subject: &Subject,
    ) -> Result<Vec<Value>, Setback> {
        let request = CommandRequest {
            command_name: evidence.command_name.to_owned(),
            params: evidence.params(&subject.command.command_params),
            ..subject.request()
        };
        let catalog = &self.dispatcher.environment.catalog;
        let timeout = catalog
            .get(evidence.command_name)
            .map_or(CommandSpec::DEFAULT_TIMEOUT, |spec| spec.timeout);
        let deadline = self.now() + timeout;
        let mut answer = self.before(deadline, connector.execute(request)).await??;
        let mut payloads = Vec::new();
        while let Some(chunk) = self.before(deadline, answer.next()).await? {
            let chunk = chunk?;
            payloads.push(chunk.payload);
            if chunk.is_final {
                return Ok(payloads);
            }
            if payloads.len() >= MAX_CHUNKS {
                break;
            }
        }
        Err(Setback::CutShort)
    }

    /// Waits for the vehicle until `deadline`. The task is with the connector, so it may have been
    /// sent.
    pub(super) async fn before<T>(
        &self,
        deadline: DateTime<Utc>,
        answer: impl Future<Output = T>,
    ) -> Result<T, Setback> {
        if self.now() >= deadline {
            return Err(ConnectorError::Timeout { sent: true }.into());
        }
        tokio::select! {
            biased;
            value = answer => Ok(value),
            () = self.dispatcher.environment.clock.sleep_until(deadline) => {
                Err(ConnectorError::Timeout { sent: true }.into())
            }
        }
    }

    /// Stores a part of the answer.
    pub(super) async fn write(
        &self,
        number: i32,
        payload: Value,
        place: Place,
    ) -> Result<(), Abandoned> {
        let environment = &self.dispatcher.environment;
        let part = Part {
            response_id: ResponseId(environment.random.uuid()),
            number,
            payload,
            place,
        };
        let recorded = self
            .persist(|| record::part(environment, &self.claim, part.clone()))
            .await?;
        if recorded == Recorded::ClaimLost {
            let command_id = self.claim.command_id;
            tracing::warn!(%command_id, number, "a late answer is stored nowhere");
        }
        self.tell(recorded)
    }

    /// Ends the command as failed.
    pub(super) async fn fail(&self, failure: Failure) -> Result<Left, Abandoned> {
        let environment = &self.dispatcher.environment;
        let recorded = self
            .persist(|| record::failed(environment, &self.claim, &failure))
            .await?;
        self.tell(recorded)?;
        Ok(Left::Done)
    }

    /// Puts the task off after a setback. It has reached the vehicle `sends` times at most.
    pub(super) async fn postpone(&self, setback: &Setback, sends: i32) -> Result<Left, Abandoned> {
        let environment = &self.dispatcher.environment;
        let entry = &self.claim.entry;
        let backoff = self.dispatcher.settings.backoff;
        let pause = backoff.pause(entry.attempt, environment.random.as_ref());
        let due_at = (self.now() + pause).min(entry.expires_at);
        let reason = setback.to_string().replace('\0', "");
        tracing::info!(command_id = %self.claim.command_id, %due_at, reason, "to be tried again");
        let recorded = self
            .persist(|| record::postponed(environment, &self.claim, due_at, sends, &reason))
            .await?;
        self.tell(recorded)?;
        Ok(Left::Until(due_at))
    }

    /// Publishes what was written.
    pub(super) fn tell(&self, recorded: Recorded) -> Result<(), Abandoned> {
        let Recorded::Done(told) = recorded else {
            // Only a sending can be too late, and whoever sends looks before.
            return Err(Abandoned::ClaimLost);
        };
        let event_publisher = &self.dispatcher.environment.event_publisher;
        for one in told {
            match one {
                Told::Part(event) => event_publisher.publish(event),
                Told::State(command) => {
                    self.dispatcher.environment.detection_notifier.notify();
                    event_publisher.publish_state(&command);
                }
            }
        }
        Ok(())
    }

    /// Tries until the database is there. A lease that ends meanwhile ends the execution.
    pub(super) async fn persist<T, F>(&self, work: impl Fn() -> F) -> Result<T, Abandoned>
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

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.dispatcher.environment.clock.now()
    }

    async fn load(&self) -> Result<Option<Subject>, StorageError> {
        let mut connection = self.dispatcher.environment.database.connection().await?;
        let command_id = self.claim.command_id;
        let Some(command) = commands::find(&mut connection, command_id, None).await? else {
            return Ok(None);
        };
        let Some(vehicle) = vehicles::find(&mut connection, command.vehicle_id).await? else {
            return Ok(None);
        };
        let last_number = responses::last_number(&mut connection, command_id).await?;
        Ok(Some(Subject {
            command,
            vehicle,
            last_number,
        }))
    }

    /// Frees the vehicle if the command was called off: nobody here talks to it any more.
    async fn let_go(&self) {
        let gone = async {
            let mut connection = self.dispatcher.environment.database.connection().await?;
            queue::let_go(&mut connection, &self.claim).await
        };
        if let Err(error) = gone.await {
            tracing::warn!(%error, "cannot let a vehicle go, the lease will end");
        }
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

impl Subject {
    /// What a connector is handed.
    pub(super) fn request(&self) -> CommandRequest {
        CommandRequest {
            command_id: self.command.command_id,
            vehicle_id: self.vehicle.vehicle_id,
            vin: self.vehicle.vin.clone(),
            command_name: self.command.command_name.clone(),
            params: self.command.command_params.clone(),
        }
    }
}
