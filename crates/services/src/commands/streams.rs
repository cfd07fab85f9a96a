//! Streams: each follower of a command receives its events in order and without gaps.

mod catch_up;
mod hint_backoff;
mod merge;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use sovd_domain::{Command, CommandId, Permission, StreamEvent};
use sovd_events::{CommandSignal, EventBus, Subscription};
use sovd_storage::Database;
use tokio::time::{sleep, timeout};

use crate::{
    commands::{Commands, visible_owner},
    error::Result,
    identity::{
        caller::Caller,
        credential_cache::{CredentialCache, CredentialWatch},
    },
};
use catch_up::{CatchUp, Page};
use hint_backoff::HintBackoff;
use merge::{EventOrder, Merge};

/// How long a new follower waits for the read that it shares with others.
const FIRST_READ: Duration = Duration::from_secs(1);

/// Lets callers follow commands.
pub struct Streams {
    bus: Arc<dyn EventBus>,
    credentials: CredentialCache,
    catch_up: CatchUp,
}

impl Streams {
    /// Creates the service with a catch-up worker on the current runtime.
    pub fn new(database: Database, bus: Arc<dyn EventBus>, credentials: CredentialCache) -> Self {
        Self {
            catch_up: CatchUp::start(database, Arc::clone(&bus)),
            bus,
            credentials,
        }
    }

    /// Follows a command from the response with the number `after + 1` on.
    pub async fn follow(
        &self,
        commands: &Commands,
        caller: &Caller,
        command_id: CommandId,
        after: i32,
    ) -> Result<Follower> {
        caller.require(Permission::ReadOwnCommands)?;
        let mut follower = Follower {
            catch_up: self.catch_up.clone(),
            // Before the first read, so that no event is missed in between.
            subscription: self.bus.subscribe(command_id),
            command_id,
            credential: caller.watch(&self.credentials),
            merge: Merge::after(after),
            backoff: HintBackoff::default(),
            ready: VecDeque::new(),
        };
        let first = timeout(FIRST_READ, self.catch_up.read(command_id, after)).await;
        match first {
            Ok(Some(page)) if is_visible(caller, &page.command) => follower.catch_up(&page),
            // The lookup refuses the caller with the right error.
            _ => drop(commands.get(caller, command_id).await?),
        }
        Ok(follower)
    }
}

/// Returns whether the caller certainly may see the command. Which vehicles are a customer's, only the
/// database knows.
fn is_visible(caller: &Caller, command: &Command) -> bool {
    visible_owner(caller).is_none_or(|owner| owner == command.user_id)
        && caller.vehicle_access_in_scope(command.vehicle_id) == Some(true)
}

/// A follower of one command. It holds no database connection.
pub struct Follower {
    catch_up: CatchUp,
    subscription: Subscription,
    command_id: CommandId,
    credential: CredentialWatch,
    merge: Merge,
    backoff: HintBackoff,
    ready: VecDeque<StreamEvent>,
}

impl Follower {
    /// Returns the watch of the credential of the caller.
    pub fn credential(&self) -> CredentialWatch {
        self.credential.clone()
    }

    /// Returns the events up to the terminal one. If the command is deleted or the credential ends, the
    /// stream ends without it.
    pub fn into_stream(self) -> impl Stream<Item = StreamEvent> {
        let credential = self.credential();
        let events = stream::unfold(self, async |mut follower| {
            let event = follower.next().await?;
            Some((event, follower))
        });
        events.take_until(async move { credential.ended().await })
    }

    async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.merge.has_ended() {
                return None;
            }
            if self.merge.is_stale() {
                let after = self.merge.last_number();
                let page = self.catch_up.read(self.command_id, after).await?;
                self.catch_up(&page);
            } else {
                self.listen().await;
            }
        }
    }

    /// Adds what is new in the database.
    fn catch_up(&mut self, page: &Page) {
        let events = self
            .merge
            .catch_up(&page.command, &page.responses, page.is_last);
        self.backoff.record(!events.is_empty());
        self.ready.extend(events);
    }

    /// Processes one signal from the bus.
    async fn listen(&mut self) {
        match self.subscription.next().await {
            CommandSignal::Reread => self.merge.mark_stale(),
            CommandSignal::Event(event) => match self.merge.offer(&event) {
                EventOrder::Next => self.ready.push_back(event.as_ref().clone()),
                EventOrder::Duplicate => {}
                EventOrder::Gap => self.merge.mark_stale(),
            },
            // A hint only triggers a database read. Its content is never delivered.
            CommandSignal::Hint(hint) if self.merge.is_new(hint) => {
                sleep(self.backoff.delay()).await;
                self.merge.mark_stale();
            }
            CommandSignal::Hint(_) => {}
        }
    }
}
