//! The data that demonstrations start from. Not a migration: a production database never gets a
//! known password.

use diesel_async::{AnsiTransactionManager, SimpleAsyncConnection, TransactionManager};

use crate::{StorageError, migrations};

const SEEDS: &[&str] = &[
    include_str!("../seeds/command_execution.sql"),
    include_str!("../seeds/predictive_maintenance.sql"),
];

/// How many rows of a table the seeds make, for [`crate::verify`].
pub(crate) const COUNTS: &[(&str, &str, i64)] = &[
    ("users", "user_id", 5),
    ("vehicles", "vehicle_id", 3),
    ("anomaly_events", "id", 5),
    ("diagnoses", "id", 5),
    ("service_bookings", "id", 3),
    ("manufacturing_insights", "id", 2),
];

/// Inserts the seeds in one transaction. What is there already stays as it is.
///
/// # Errors
///
/// When the database is away or not migrated; nothing is inserted then.
pub async fn insert(url: &str) -> Result<(), StorageError> {
    let mut connection = migrations::connect(url).await?;
    AnsiTransactionManager::begin_transaction(&mut connection).await?;
    for seeds in SEEDS {
        connection.batch_execute(seeds).await?;
    }
    AnsiTransactionManager::commit_transaction(&mut connection).await?;
    Ok(())
}
