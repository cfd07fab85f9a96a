//! Watching a command: one ordered stream for each client, without a gap.

mod merge;
mod pacing;
mod reader;

use std::{collections::VecDeque, sync::Arc};

use futures_util::{Stream, StreamExt, stream};
use sovd_domain::{CommandId, StreamEvent};
use sovd_events::{CommandSignal, EventBus, Subscription};
use sovd_storage::Database;
use tokio::time::sleep;

use crate::{
    commands::Commands,
    error::ServiceError,
    identity::{
        caller::Caller,
        credential_cache::{CredentialCache, CredentialWatch},
    },
};
use merge::{Merge, Verdict};
use pacing::Pacing;
use reader::Reader;

/// Lets clients watch commands.
pub struct Streams {
    bus: Arc<dyn EventBus>,
    credentials: CredentialCache,
    reader: Reader,
}

impl Streams {
    /// A stream service, which reads the database from a task of the runtime that calls this.
    pub fn new(database: Database, bus: Arc<dyn EventBus>, credentials: CredentialCache) -> Self {
        Self {
            reader: Reader::start(database, Arc::clone(&bus)),
            bus,
            credentials,
        }
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
            reader: self.reader.clone(),
            subscription: self.bus.subscribe(command_id),
            command_id,
            credential: caller.watch(&self.credentials),
            merge: Merge::after(after),
            pacing: Pacing::default(),
            ready: VecDeque::new(),
        })
    }
}

/// One client's stream. It holds no database connection while it waits.
pub struct Follower {
    reader: Reader,
    subscription: Subscription,
    command_id: CommandId,
    credential: CredentialWatch,
    merge: Merge,
    pacing: Pacing,
    ready: VecDeque<StreamEvent>,
}

impl Follower {
    /// Tells whether the credential of whoever follows has ended.
    pub fn credential(&self) -> CredentialWatch {
        self.credential.clone()
    }

    /// The events, up to the terminal one; without it when the command was deleted or the
    /// credential has ended.
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
                let page = self.reader.read(self.command_id, after).await?;
                let news = self
                    .merge
                    .catch_up(&page.command, &page.responses, page.is_last);
                self.pacing.looked(!news.is_empty());
                self.ready.extend(news);
            } else {
                self.listen().await;
            }
        }
    }

    /// Takes one signal from the bus.
    async fn listen(&mut self) {
        match self.subscription.next().await {
            CommandSignal::Reread => self.merge.mark_stale(),
            CommandSignal::Event(event) => match self.merge.offer(&event) {
                Verdict::Next => self.ready.push_back(event.as_ref().clone()),
                Verdict::Seen => {}
                Verdict::Gap => self.merge.mark_stale(),
            },
            // The client gets what the database holds, never what the hint says.
            CommandSignal::Hint(hint) if self.merge.is_new(hint) => {
                sleep(self.pacing.hinted()).await;
                self.merge.mark_stale();
            }
            CommandSignal::Hint(_) => {}
        }
    }
}
