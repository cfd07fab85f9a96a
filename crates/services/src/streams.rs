//! Watching a command: one ordered stream for each client, without a gap.

mod merge;

use std::{collections::VecDeque, time::Duration};

use futures_util::{Stream, stream};
use sovd_domain::{CommandId, StreamEvent};
use sovd_events::{Signal, Subscription};
use sovd_storage::{StorageError, commands, responses};
use tokio::time::sleep;

use crate::{caller::Caller, commands::Commands, environment::Environment, error::ServiceError};
use merge::{Merge, Verdict};

/// How long a follower relies on the bus alone. The process that committed an event may have died
/// before it could publish it.
const REREAD_INTERVAL: Duration = Duration::from_secs(2);

/// How long to wait before the database is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Lets clients watch commands.
pub struct Streams {
    environment: Environment,
}

impl Streams {
    /// A stream service.
    pub fn new(environment: Environment) -> Self {
        Self { environment }
    }

    /// The events of a command with its responses from number `after + 1` on.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is no such command that the caller may see.
    pub async fn follow(
        &self,
        commands: &Commands,
        caller: &Caller,
        command_id: CommandId,
        after: i32,
    ) -> Result<Follower, ServiceError> {
        commands.get(caller, command_id).await?;
        Ok(Follower {
            environment: self.environment.clone(),
            subscription: self.environment.bus.subscribe(command_id),
            command_id,
            merge: Merge::after(after),
            ready: VecDeque::new(),
        })
    }
}

/// One client's stream. It holds no database connection while it waits.
pub struct Follower {
    environment: Environment,
    subscription: Subscription,
    command_id: CommandId,
    merge: Merge,
    ready: VecDeque<StreamEvent>,
}

impl Follower {
    /// The events, up to the terminal one; without it when the command was deleted.
    pub fn into_stream(self) -> impl Stream<Item = StreamEvent> {
        stream::unfold(self, async |mut follower| {
            let event = follower.next().await?;
            Some((event, follower))
        })
    }

    async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.merge.has_ended() {
                return None;
            }
            if !self.merge.is_stale() {
                self.listen().await;
                continue;
            }
            match self.read().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    let command_id = self.command_id;
                    tracing::warn!(%command_id, %error, "a stream waits for the database");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes one signal from the bus.
    async fn listen(&mut self) {
        let signal = tokio::select! {
            signal = self.subscription.next() => signal,
            () = sleep(REREAD_INTERVAL) => Signal::Reread,
        };
        match signal {
            Signal::Reread => self.merge.mark_stale(),
            Signal::Event(event) => match self.merge.offer(&event) {
                Verdict::Next => self.ready.push_back(event.as_ref().clone()),
                Verdict::Seen => {}
                Verdict::Gap => self.merge.mark_stale(),
            },
        }
    }

    /// Takes what is new from the database; says whether the command is still there.
    async fn read(&mut self) -> Result<bool, StorageError> {
        let mut connection = self.environment.database.connection().await?;
        // The command first: when it has ended by now, all of its responses are there.
        let command = commands::find(&mut connection, self.command_id, None).await?;
        let Some(command) = command else {
            return Ok(false);
        };
        let after = self.merge.last_number();
        let responses = responses::list(&mut connection, self.command_id, after).await?;
        self.ready.extend(self.merge.catch_up(&command, responses));
        Ok(true)
    }
}
