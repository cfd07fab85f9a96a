//! What a process remembers of those who call it, so that not every request asks the database.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;
use sovd_domain::{AccessChange, Scope, User, UserId};
use sovd_events::EventBus;
use sovd_storage::{
    Database, StorageError,
    identity::{service_accounts, sessions},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{event_publisher::EventPublisher, identity::caller::Credential, timer::Timer};

/// How many credentials are remembered; of more, those that are asked for least are forgotten.
const CAPACITY: usize = 20_000;

/// How many credentials are looked up at a time.
const BATCH: usize = 1000;

/// How many changes of other processes are applied in one second. Of more, everything is forgotten
/// once: a sender of false changes must not make every request ask the database.
const CHANGES_PER_SECOND: usize = 100;

/// The shortest time between two looks at the streams that a change may have ended.
const LOOK_PACE: Duration = Duration::from_millis(50);

/// Remembers for a few seconds whose a credential is, and ends the streams of credentials that have
/// ended. Clones share it.
#[derive(Clone)]
pub struct CredentialCache(Arc<Inner>);

struct Inner {
    /// How long something is remembered at most.
    life: Duration,
    event_publisher: EventPublisher,
    remembered: Cache<Credential, Remembered>,
    /// Grows whenever something is forgotten, so that nothing is remembered that was looked up
    /// before.
    forgotten: AtomicU64,
    watched: Mutex<HashMap<Credential, Watched>>,
    look_again: Notify,
}

/// Whose a credential is.
#[derive(Clone)]
pub(crate) struct CachedIdentity {
    /// The account.
    pub(crate) user: User,
    /// What the credential opens.
    pub(crate) scope: Option<Scope>,
    /// The moment at which it ends, if it says so itself.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

#[derive(Clone)]
struct Remembered {
    /// Nobody when the credential has ended.
    holder: Option<CachedIdentity>,
    since: DateTime<Utc>,
}

struct Watched {
    user_id: UserId,
    streams: usize,
    end: CancellationToken,
}

impl CredentialCache {
    /// Nobody is known yet; what is remembered counts for `life`.
    pub fn new(life: Duration, event_publisher: EventPublisher) -> Self {
        Self(Arc::new(Inner {
            life,
            event_publisher,
            remembered: Cache::new(CAPACITY),
            forgotten: AtomicU64::default(),
            watched: Mutex::default(),
            look_again: Notify::new(),
        }))
    }

    /// Whose the credential is, nobody's when it has ended: from memory, or else from `look_up`.
    pub(crate) async fn holder_of<E>(
        &self,
        credential: &Credential,
        now: DateTime<Utc>,
        look_up: impl Future<Output = Result<Option<CachedIdentity>, E>>,
    ) -> Result<Option<CachedIdentity>, E> {
        let is_fresh = |known: &Remembered| known.since <= now && now < known.since + self.0.life;
        if let Some(known) = self.0.remembered.get(credential).filter(is_fresh) {
            return Ok(known.holder);
        }
        let forgotten = self.0.forgotten.load(Ordering::Acquire);
        let holder = look_up.await?;
        let known = Remembered {
            holder: holder.clone(),
            since: now,
        };
        self.0.remembered.insert(credential.clone(), known);
        if self.0.forgotten.load(Ordering::Acquire) != forgotten {
            self.0.remembered.remove(credential);
        }
        Ok(holder)
    }

    /// Invalidates what a committed change made stale, in this process at once and in the others soon.
    pub(crate) fn access_changed(&self, change: AccessChange) {
        self.forget(change);
        self.0.event_publisher.publish_access_change(change);
    }

    /// Forgets what is out of date here, and looks after the streams that it may have ended.
    pub(crate) fn forget(&self, change: AccessChange) {
        self.0.forgotten.fetch_add(1, Ordering::AcqRel);
        match change {
            AccessChange::Session { session_id } => {
                self.0.remembered.remove(&Credential::Session(session_id));
            }
            AccessChange::User { user_id } => {
                let is_other = |known: &Remembered| {
                    let holder = known.holder.as_ref();
                    holder.is_none_or(|holder| holder.user.user_id != user_id)
                };
                self.0.remembered.retain(|_, known| is_other(known));
            }
            AccessChange::Unknown => self.0.remembered.clear(),
        }
        if self.concerns_a_stream(change) {
            self.0.look_again.notify_one();
        }
    }

    /// Watches a credential for a stream that must not outlive it.
    pub(crate) fn watch(&self, credential: &Credential, user_id: UserId) -> CredentialWatch {
        let mut watched = self.lock();
        let one = watched
            .entry(credential.clone())
            .or_insert_with(|| Watched {
                user_id,
                streams: 0,
                end: CancellationToken::new(),
            });
        one.streams += 1;
        CredentialWatch(Arc::new(Watch {
            credential_cache: self.clone(),
            credential: credential.clone(),
            end: one.end.clone(),
        }))
    }

    /// Hears what other processes have changed and ends the streams of credentials that have
    /// ended, until `stop`.
    pub async fn run(
        self,
        database: Database,
        bus: Arc<dyn EventBus>,
        clock: Arc<dyn Timer>,
        stop: CancellationToken,
    ) {
        let mut changes = bus.access_changes();
        let mut due = clock.now() + self.0.life;
        let (mut second, mut applied) = (Instant::now(), 0);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                change = changes.next() => {
                    if second.elapsed() >= Duration::from_secs(1) {
                        (second, applied) = (Instant::now(), 0);
                    }
                    applied += 1;
                    if applied > CHANGES_PER_SECOND {
                        // Those that come meanwhile are lost but for one that stands for all.
                        let rest = Duration::from_secs(1).saturating_sub(second.elapsed());
                        if stop.run_until_cancelled(sleep(rest)).await.is_none() {
                            return;
                        }
                    }
                    self.forget(*change);
                    continue;
                }
                () = self.0.look_again.notified() => {}
                () = clock.sleep_until(due) => {}
            }
            if let Err(error) = self.end_streams(&database, clock.now()).await {
                tracing::warn!(%error, "cannot tell whether open streams have to end");
            }
            if stop.run_until_cancelled(sleep(LOOK_PACE)).await.is_none() {
                return;
            }
            due = clock.now() + self.0.life;
        }
    }

    async fn end_streams(
        &self,
        database: &Database,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let watched: Vec<Credential> = self.lock().keys().cloned().collect();
        for some in watched.chunks(BATCH) {
            let live = live(database, some, now).await?;
            let watched = self.lock();
            for ended in some.iter().filter(|one| !live.contains(one)) {
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
            AccessChange::Session { session_id } => {
                watched.contains_key(&Credential::Session(session_id))
            }
            AccessChange::User { user_id } => watched.values().any(|one| one.user_id == user_id),
            AccessChange::Unknown => !watched.is_empty(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Credential, Watched>> {
        self.0
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of the credentials that have not ended.
async fn live(
    database: &Database,
    credentials: &[Credential],
    now: DateTime<Utc>,
) -> Result<HashSet<Credential>, StorageError> {
    let (mut sessions, mut hashes) = (Vec::new(), Vec::new());
    for credential in credentials {
        match credential {
            Credential::Session(session_id) => sessions.push(*session_id),
            Credential::ApiKey(hash) => hashes.push(hash.clone()),
        }
    }
    let mut connection = database.connection().await?;
    let sessions = sessions::live(&mut connection, &sessions, now).await?;
    let hashes = if hashes.is_empty() {
        hashes
    } else {
        service_accounts::live(&mut connection, &hashes, now).await?
    };
    let sessions = sessions.into_iter().map(Credential::Session);
    Ok(sessions
        .chain(hashes.into_iter().map(Credential::ApiKey))
        .collect())
}

/// Tells whether the credential of a stream has ended. Clones share it.
#[derive(Clone)]
pub struct CredentialWatch(Arc<Watch>);

struct Watch {
    credential_cache: CredentialCache,
    credential: Credential,
    end: CancellationToken,
}

impl CredentialWatch {
    /// Whether the credential has ended.
    pub fn has_ended(&self) -> bool {
        self.0.end.is_cancelled()
    }

    /// Waits for the end of the credential.
    pub async fn ended(&self) {
        self.0.end.cancelled().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.credential_cache.lock();
        if let Some(one) = watched.get_mut(&self.credential) {
            one.streams -= 1;
            if one.streams == 0 {
                watched.remove(&self.credential);
            }
        }
    }
}
