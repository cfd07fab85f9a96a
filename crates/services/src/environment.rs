use std::sync::Arc;

use sovd_domain::{AccessChange, Catalog, Random, RuleBook};
use sovd_events::{Attempts, EventBus};
use sovd_storage::Database;

use crate::{
    agents::{AgentPolicy, AttemptTurns},
    audit::refusals::{RefusalCount, RefusalQueue},
    bulk_reads::BulkReads,
    commands::work_notifier::NewWork,
    event_publisher::Outbox,
    identity::credential_cache::Callers,
    maintenance::detection::NewAnswers,
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
    pub outbox: Outbox,
    /// What is remembered of those who call.
    pub callers: Callers,
    /// Counts what was tried in vain.
    pub attempts: Arc<dyn Attempts>,
    /// How often somebody was turned away.
    pub refusals: RefusalCount,
    /// Takes refusals to the audit trail.
    pub refusal_queue: RefusalQueue,
    /// What agents may change.
    pub agents: Arc<AgentPolicy>,
    /// Which blocked attempts of agents wait to be counted.
    pub attempt_turns: AttemptTurns,
    /// The commands that can be sent.
    pub catalog: Arc<Catalog>,
    /// Which trouble codes are anomalies.
    pub rules: Arc<RuleBook>,
    /// The time.
    pub clock: Arc<dyn Timer>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Wakes dispatchers.
    pub new_work: NewWork,
    /// Wakes the detection of anomalies.
    pub new_answers: NewAnswers,
}

impl Environment {
    /// Tells this process now and the others soon that what they remember of somebody is out of
    /// date. What has changed must be committed already.
    pub(crate) fn access_changed(&self, change: AccessChange) {
        self.callers.forget(change);
        self.outbox.tell_access_change(change);
    }
}
