//! A cache of identities by credential, so that most requests are authenticated without a query.

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

/// The maximum number of entries.
const CAPACITY: usize = 20_000;

/// The number of credentials per query.
const BATCH: usize = 1000;

/// The maximum number of access changes of other processes applied per second. Beyond it the whole cache
/// is invalidated once, so that a sender of false changes cannot cause a query per request.
const CHANGES_PER_SECOND: usize = 100;

/// The minimum interval between two checks of the credentials of open streams.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Caches identities by credential for a few seconds, and ends streams whose credential has ended.
/// Clones share the cache.
#[derive(Clone)]
pub struct CredentialCache(Arc<Inner>);

struct Inner {
    ttl: Duration,
    event_publisher: EventPublisher,
    entries: Cache<Credential, Entry>,
    /// The number of invalidations. An entry loaded before an invalidation must not be cached after it.
    invalidations: AtomicU64,
    watched: Mutex<HashMap<Credential, Watched>>,
    check_due: Notify,
}

/// The account of a credential.
#[derive(Clone)]
pub(crate) struct CachedIdentity {
    pub(crate) user: User,
    pub(crate) scope: Option<Scope>,
    /// When the credential expires, unless the token itself says so.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

#[derive(Clone)]
struct Entry {
    /// `None` if the credential has ended.
    identity: Option<CachedIdentity>,
    loaded_at: DateTime<Utc>,
}

/// A credential with open streams.
struct Watched {
    user_id: UserId,
    streams: usize,
    ended: CancellationToken,
}

impl CredentialCache {
    /// Creates an empty cache whose entries are valid for `ttl`.
    pub fn new(ttl: Duration, event_publisher: EventPublisher) -> Self {
        Self(Arc::new(Inner {
            ttl,
            event_publisher,
            entries: Cache::new(CAPACITY),
            invalidations: AtomicU64::default(),
            watched: Mutex::default(),
            check_due: Notify::new(),
        }))
    }

    /// Returns the cached identity of a credential, or loads it; `None` if the credential has ended.
    pub(crate) async fn get_or_load<E>(
        &self,
        credential: &Credential,
        now: DateTime<Utc>,
        load: impl Future<Output = Result<Option<CachedIdentity>, E>>,
    ) -> Result<Option<CachedIdentity>, E> {
        let is_fresh = |entry: &Entry| entry.loaded_at <= now && now < entry.loaded_at + self.0.ttl;
        if let Some(entry) = self.0.entries.get(credential).filter(is_fresh) {
            return Ok(entry.identity);
        }
        let invalidations = self.0.invalidations.load(Ordering::Acquire);
        let identity = load.await?;
        let entry = Entry {
            identity: identity.clone(),
            loaded_at: now,
        };
        self.0.entries.insert(credential.clone(), entry);
        if self.0.invalidations.load(Ordering::Acquire) != invalidations {
            self.0.entries.remove(credential);
        }
        Ok(identity)
    }

    /// Invalidates what a committed change made stale, in this process at once and in the others soon.
    pub(crate) fn access_changed(&self, change: AccessChange) {
        self.invalidate(change);
        self.0.event_publisher.publish_access_change(change);
    }

    /// Removes stale entries of this process, and schedules a check of the streams they concern.
    fn invalidate(&self, change: AccessChange) {
        self.0.invalidations.fetch_add(1, Ordering::AcqRel);
        match change {
            AccessChange::Session { session_id } => {
                self.0.entries.remove(&Credential::Session(session_id));
            }
            AccessChange::User { user_id } => {
                let is_other = |entry: &Entry| {
                    let identity = entry.identity.as_ref();
                    identity.is_none_or(|identity| identity.user.user_id != user_id)
                };
                self.0.entries.retain(|_, entry| is_other(entry));
            }
            AccessChange::Unknown => self.0.entries.clear(),
        }
        if self.concerns_a_stream(change) {
            self.0.check_due.notify_one();
        }
    }

    /// Watches the credential of a stream, which must end with it.
    pub(crate) fn watch(&self, credential: &Credential, user_id: UserId) -> CredentialWatch {
        let mut watched = self.lock();
        let entry = watched
            .entry(credential.clone())
            .or_insert_with(|| Watched {
                user_id,
                streams: 0,
                ended: CancellationToken::new(),
            });
        entry.streams += 1;
        CredentialWatch(Arc::new(Watch {
            cache: self.clone(),
            credential: credential.clone(),
            ended: entry.ended.clone(),
        }))
    }

    /// Applies the access changes of other processes, and ends streams whose credential has ended, until
    /// `stop`.
    pub async fn run(
        self,
        database: Database,
        bus: Arc<dyn EventBus>,
        clock: Arc<dyn Timer>,
        stop: CancellationToken,
    ) {
        let mut changes = bus.access_changes();
        let mut due = clock.now() + self.0.ttl;
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
                        // The receiver overflows meanwhile and reports the lost changes as one `Unknown`.
                        let rest = Duration::from_secs(1).saturating_sub(second.elapsed());
                        if stop.run_until_cancelled(sleep(rest)).await.is_none() {
                            return;
                        }
                    }
                    self.invalidate(*change);
                    continue;
                }
                () = self.0.check_due.notified() => {}
                () = clock.sleep_until(due) => {}
            }
            if let Err(error) = self.end_streams(&database, clock.now()).await {
                tracing::warn!(%error, "failed to check the credentials of open streams");
            }
            if stop
                .run_until_cancelled(sleep(CHECK_INTERVAL))
                .await
                .is_none()
            {
                return;
            }
            due = clock.now() + self.0.ttl;
        }
    }

    async fn end_streams(
        &self,
        database: &Database,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let credentials: Vec<Credential> = self.lock().keys().cloned().collect();
        for batch in credentials.chunks(BATCH) {
            let live = live(database, batch, now).await?;
            let watched = self.lock();
            for ended in batch.iter().filter(|it| !live.contains(it)) {
                if let Some(entry) = watched.get(ended) {
                    entry.ended.cancel();
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
            AccessChange::User { user_id } => watched.values().any(|it| it.user_id == user_id),
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

/// Returns those of the credentials that have not ended.
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

/// Signals the end of the credential of a stream. Clones share the watch.
#[derive(Clone)]
pub struct CredentialWatch(Arc<Watch>);

struct Watch {
    cache: CredentialCache,
    credential: Credential,
    ended: CancellationToken,
}

impl CredentialWatch {
    /// Returns whether the credential has ended.
    pub fn has_ended(&self) -> bool {
        self.0.ended.is_cancelled()
    }

    /// Waits for the end of the credential.
    pub async fn ended(&self) {
        self.0.ended.cancelled().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.cache.lock();
        if let Some(entry) = watched.get_mut(&self.credential) {
            entry.streams -= 1;
            if entry.streams == 0 {
                watched.remove(&self.credential);
            }
        }
    }
}
