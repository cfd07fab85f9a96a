//! The data that demonstrations start from. Not a migration: a production database never gets a
//! known password.

use diesel_async::{AnsiTransactionManager, SimpleAsyncConnection, TransactionManager};

use crate::{StorageError, migrations};

/// One file of seeds.
pub(crate) struct SeedFile {
    sql: &'static str,
    /// What it makes, for [`crate::verify`]: a table, its key, and the ends of the first and the last id.
    pub(crate) rows: &'static [(&'static str, &'static str, i64, i64)],
}

pub(crate) const FILES: &[SeedFile] = &[
    SeedFile {
        sql: include_str!("../seeds/command_execution.sql"),
        rows: &[
            ("users", "user_id", 1, 2),
            ("vehicles", "vehicle_id", 101, 102),
        ],
    },
    SeedFile {
        sql: include_str!("../seeds/predictive_maintenance.sql"),
        rows: &[
            ("users", "user_id", 3, 5),
            ("vehicles", "vehicle_id", 103, 103),
            ("anomaly_events", "id", 201, 205),
            ("diagnoses", "id", 301, 305),
            ("service_bookings", "id", 401, 403),
            ("manufacturing_insights", "id", 501, 502),
        ],
    },
];

/// Inserts the seeds in one transaction. What is there already stays as it is.
///
/// # Errors
///
/// When the database is away or not migrated; nothing is inserted then.
pub async fn insert(url: &str) -> Result<(), StorageError> {
    let mut connection = migrations::connect(url).await?;
    AnsiTransactionManager::begin_transaction(&mut connection).await?;
    for file in FILES {
        connection.batch_execute(file.sql).await?;
    }
    AnsiTransactionManager::commit_transaction(&mut connection).await?;
    Ok(())
}
