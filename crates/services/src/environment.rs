use std::sync::Arc;

use sovd_domain::{Catalog, Clock, Random};
use sovd_events::EventBus;
use sovd_storage::Database;

/// What every service works with. Clones share it.
#[derive(Clone)]
pub struct Environment {
    /// The truth.
    pub database: Database,
    /// The messenger.
    pub bus: Arc<dyn EventBus>,
    /// The commands that can be sent.
    pub catalog: Arc<Catalog>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
}
