//! Whether the parts are there.

use std::{sync::Arc, time::Duration};

use sovd_events::EventBus;
use sovd_storage::Database;
use tokio::time::timeout;

/// Longer than a ping of the database takes, so that its own answer comes first.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Asks the parts for a sign of life.
pub struct Health {
    database: Database,
    bus: Arc<dyn EventBus>,
}

/// Which parts answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// PostgreSQL.
    pub database: bool,
    /// Redis; always there with the bus of a single process.
    pub bus: bool,
}

impl Health {
    /// A health service.
    pub fn new(database: Database, bus: Arc<dyn EventBus>) -> Self {
        Self { database, bus }
    }

    /// Asks each part.
    pub async fn readiness(&self) -> Readiness {
        let database = timeout(PATIENCE, self.database.ping());
        let bus = timeout(PATIENCE, self.bus.ping());
        let (database, bus) = tokio::join!(database, bus);
        Readiness {
            database: matches!(database, Ok(Ok(()))),
            bus: matches!(bus, Ok(Ok(()))),
        }
    }
}
