use std::sync::Arc;

use sovd_domain::{AccessChange, Catalog, Random, RuleBook};
use sovd_events::{EventBus, FailureCounters};
use sovd_storage::Database;

use crate::{
    agents::{AgentPolicy, BlockedAttemptLocks},
    audit::refusals::{RefusalCount, RefusalQueue},
    bulk_reads::BulkReads,
    commands::work_notifier::WorkNotifier,
    event_publisher::EventPublisher,
    identity::credential_cache::CredentialCache,
    maintenance::detection::DetectionNotifier,
    timer::Timer,
};

/// What every service works with. Clones share it.
#[derive(Clone)]
pub struct Environment {
    /// The truth.
    pub database: Database,
    /// How many expensive reads are served at a time.
    pub bulk_reads: BulkReads,
    /// The messenger.
    pub bus: Arc<dyn EventBus>,
    /// Takes events to the messenger.
    pub event_publisher: EventPublisher,
    /// What is remembered of those who call.
    pub credential_cache: CredentialCache,
    /// Counts what was tried in vain.
    pub attempts: Arc<dyn FailureCounters>,
    /// How often somebody was turned away.
    pub refusals: RefusalCount,
    /// Takes refusals to the audit trail.
    pub refusal_queue: RefusalQueue,
    /// What agents may change.
    pub agents: Arc<AgentPolicy>,
    /// Which blocked attempts of agents wait to be counted.
    pub blocked_attempt_locks: BlockedAttemptLocks,
    /// The commands that can be sent.
    pub catalog: Arc<Catalog>,
    /// Which trouble codes are anomalies.
    pub rules: Arc<RuleBook>,
    /// The time.
    pub clock: Arc<dyn Timer>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Wakes dispatchers.
    pub work_notifier: WorkNotifier,
    /// Wakes the detection of anomalies.
    pub detection_notifier: DetectionNotifier,
}

impl Environment {
    /// Tells this process now and the others soon that what they remember of somebody is out of
    /// date. What has changed must be committed already.
    pub(crate) fn access_changed(&self, change: AccessChange) {
        self.credential_cache.forget(change);
        self.event_publisher.publish_access_change(change);
    }
}
