//! Data for demonstrations. It is not a migration, so that no production database gets a known
//! password.

use diesel_async::{AnsiTransactionManager, SimpleAsyncConnection, TransactionManager};

use crate::{Result, migrations};

/// A file of seeds.
pub(crate) struct SeedFile {
    sql: &'static str,
    /// The rows that it inserts, for [`crate::verify`]: table, key column, last digits of the first and the
    /// last id.
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

/// Inserts the seeds in one transaction. Rows that exist are left unchanged.
///
/// # Errors
///
/// Fails also if a migration is pending; then nothing is inserted.
pub async fn insert(url: &str) -> Result<()> {
    let mut connection = migrations::connect(url).await?;
    AnsiTransactionManager::begin_transaction(&mut connection).await?;
    for file in FILES {
        connection.batch_execute(file.sql).await?;
    }
    AnsiTransactionManager::commit_transaction(&mut connection).await?;
    Ok(())
}
