//! Prints a report on the fleet in the database of `DATABASE_URL`.
#![expect(clippy::print_stdout, reason = "a command-line program prints")]

use std::{env, error::Error, time::Duration};

use sovd_example_fleet_report::FleetReport;
use sovd_storage::{Database, PoolSettings};

const POOL: PoolSettings = PoolSettings {
    size: 1,
    overflow: 0,
    checkout_timeout: Duration::from_secs(5),
    statement_timeout: Duration::from_secs(10),
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("DATABASE_URL")?;
    let database = Database::new(&url, POOL);
    print!("{}", FleetReport::read(&database).await?);
    Ok(())
}
