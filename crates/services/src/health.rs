//! Readiness of the database and the event bus.

use std::{sync::Arc, time::Duration};

use derive_more::Constructor;
use sovd_events::EventBus;
use sovd_storage::Database;
use tokio::time::timeout;

/// Longer than the timeout of a database ping, so that its result arrives first.
const TIMEOUT: Duration = Duration::from_millis(2500);

/// Pings the database and the event bus.
#[derive(Constructor)]
pub struct Health {
    database: Database,
    bus: Arc<dyn EventBus>,
}

/// Which of them answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// PostgreSQL.
    pub database: bool,
    /// Redis; always `true` with the bus of a single process.
    pub bus: bool,
}

impl Health {
    /// Pings both at the same time.
    pub async fn readiness(&self) -> Readiness {
        let database = timeout(TIMEOUT, self.database.ping());
        let bus = timeout(TIMEOUT, self.bus.ping());
        let (database, bus) = tokio::join!(database, bus);
        Readiness {
            database: matches!(database, Ok(Ok(()))),
            bus: matches!(bus, Ok(Ok(()))),
        }
    }
}
