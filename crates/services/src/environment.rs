use std::sync::Arc;

use sovd_domain::{Catalog, Random};
use sovd_events::EventBus;
use sovd_storage::Database;

use crate::{new_work::NewWork, outbox::Outbox, timer::Timer};

/// What every service works with. Clones share it.
#[derive(Clone)]
pub struct Environment {
    /// The truth.
    pub database: Database,
    /// The messenger.
    pub bus: Arc<dyn EventBus>,
    /// Takes events to the messenger.
    pub outbox: Outbox,
    /// The commands that can be sent.
    pub catalog: Arc<Catalog>,
    /// The time.
    pub clock: Arc<dyn Timer>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Wakes dispatchers.
    pub new_work: NewWork,
}
