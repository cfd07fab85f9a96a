//! What a process remembers of those who call it, so that not every request asks the database.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;
use sovd_domain::{AccessChange, SessionId, User, UserId};
use sovd_storage::{StorageError, sessions};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;

/// How many sessions are remembered; of more, those that are asked for least are forgotten.
const CAPACITY: usize = 20_000;

/// How many sessions are looked up at a time.
const BATCH: usize = 1000;

/// Remembers for a few seconds who belongs to a session, and ends the streams of sessions that have
/// ended. Clones share it.
#[derive(Clone)]
pub struct Callers(Arc<Inner>);

struct Inner {
    /// How long something is remembered at most.
    life: Duration,
    remembered: Cache<SessionId, Remembered>,
    /// Grows whenever something is forgotten, so that nothing is remembered that was looked up
    /// before.
    forgotten: AtomicU64,
    watched: Mutex<HashMap<SessionId, Watched>>,
    look_again: Notify,
}

#[derive(Clone)]
struct Remembered {
    /// Nobody when the session has ended.
    user: Option<User>,
    since: DateTime<Utc>,
}

struct Watched {
    user_id: UserId,
    streams: usize,
    end: CancellationToken,
}

impl Callers {
    /// Nobody is known yet; what is remembered counts for `life`.
    pub fn new(life: Duration) -> Self {
        Self(Arc::new(Inner {
            life,
            remembered: Cache::new(CAPACITY),
            forgotten: AtomicU64::default(),
            watched: Mutex::default(),
            look_again: Notify::new(),
        }))
    }

    /// Whose session it is, nobody's when it has ended: from memory, or else from `look_up`.
    pub(crate) async fn user_of<E>(
        &self,
        session_id: SessionId,
        now: DateTime<Utc>,
        look_up: impl Future<Output = Result<Option<User>, E>>,
    ) -> Result<Option<User>, E> {
        let is_fresh = |known: &Remembered| known.since <= now && now < known.since + self.0.life;
        if let Some(known) = self.0.remembered.get(&session_id).filter(is_fresh) {
            return Ok(known.user);
        }
        let forgotten = self.0.forgotten.load(Ordering::Acquire);
        let user = look_up.await?;
        let known = Remembered {
            user: user.clone(),
            since: now,
        };
        if self.0.forgotten.load(Ordering::Acquire) == forgotten {
            self.0.remembered.insert(session_id, known);
        }
        Ok(user)
    }

    /// Forgets what is out of date here, and looks after the streams that it may have ended.
    pub(crate) fn forget(&self, change: AccessChange) {
        self.0.forgotten.fetch_add(1, Ordering::AcqRel);
        match change {
            AccessChange::Session { session_id } => {
                self.0.remembered.remove(&session_id);
            }
            AccessChange::User { user_id } => {
                let is_other = |known: &Remembered| {
                    known
                        .user
                        .as_ref()
                        .is_none_or(|user| user.user_id != user_id)
                };
                self.0.remembered.retain(|_, known| is_other(known));
            }
            AccessChange::Unknown => self.0.remembered.clear(),
        }
        if self.concerns_a_stream(change) {
            self.0.look_again.notify_one();
        }
    }

    /// Watches a session for a stream that must not outlive it.
    pub(crate) fn watch(&self, session_id: SessionId, user_id: UserId) -> SessionWatch {
        let mut watched = self.lock();
        let one = watched.entry(session_id).or_insert_with(|| Watched {
            user_id,
            streams: 0,
            end: CancellationToken::new(),
        });
        one.streams += 1;
        SessionWatch(Arc::new(Watch {
            callers: self.clone(),
            session_id,
            end: one.end.clone(),
        }))
    }

    /// Hears what other processes have changed and ends the streams of sessions that have ended,
    /// until `stop`.
    pub async fn run(self, environment: Environment, stop: CancellationToken) {
        let mut changes = environment.bus.read_access_changes();
        let mut due = environment.clock.now() + self.0.life;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                change = changes.next() => {
                    self.forget(*change);
                    continue;
                }
                () = self.0.look_again.notified() => {}
                () = environment.clock.sleep_until(due) => {}
            }
            if let Err(error) = self.end_streams(&environment).await {
                tracing::warn!(%error, "cannot tell whether sessions with open streams have ended");
            }
            due = environment.clock.now() + self.0.life;
        }
    }

    async fn end_streams(&self, environment: &Environment) -> Result<(), StorageError> {
        let watched: Vec<SessionId> = self.lock().keys().copied().collect();
        for some in watched.chunks(BATCH) {
            let mut connection = environment.database.connection().await?;
            let now = environment.clock.now();
            let live = sessions::live(&mut connection, some, now).await?;
            let watched = self.lock();
            for ended in some.iter().filter(|id| !live.contains(id)) {
                if let Some(one) = watched.get(ended) {
                    one.end.cancel();
                }
            }
        }
        Ok(())
    }

    fn concerns_a_stream(&self, change: AccessChange) -> bool {
        let watched = self.lock();
        match change {
            AccessChange::Session { session_id } => watched.contains_key(&session_id),
            AccessChange::User { user_id } => watched.values().any(|one| one.user_id == user_id),
            AccessChange::Unknown => !watched.is_empty(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Watched>> {
        self.0
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether the session of a stream has ended. Clones share it.
#[derive(Clone)]
pub struct SessionWatch(Arc<Watch>);

struct Watch {
    callers: Callers,
    session_id: SessionId,
    end: CancellationToken,
}

impl SessionWatch {
    /// Whether the session has ended.
    pub fn has_ended(&self) -> bool {
        self.0.end.is_cancelled()
    }

    /// Waits for the end of the session.
    pub(crate) async fn ended(&self) {
        self.0.end.cancelled().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.callers.lock();
        if let Some(one) = watched.get_mut(&self.session_id) {
            one.streams -= 1;
            if one.streams == 0 {
                watched.remove(&self.session_id);
            }
        }
    }
}
