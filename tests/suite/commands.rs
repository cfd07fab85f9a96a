pub(crate) mod cancel;
pub(crate) mod clearing;
pub(crate) mod forged_messages;
pub(crate) mod idempotency;
pub(crate) mod load;
pub(crate) mod main_job;
pub(crate) mod offline;
pub(crate) mod order;
pub(crate) mod outages;
pub(crate) mod outcomes;
pub(crate) mod sse;
pub(crate) mod stream_limit;
pub(crate) mod stream_resilience;
pub(crate) mod streams;
pub(crate) mod submission;
pub(crate) mod waiting;

use std::ops::RangeInclusive;

use serde_json::Value;
use sovd_tests::{World, numbers};

/// Adds vehicles with this connection status and returns their ids.
async fn add_vehicles(sql: &tokio_postgres::Client, status: &str, count: i32) -> Vec<String> {
    let insert = "INSERT INTO vehicles (vin, make, model, year, connection_status)
                  SELECT 'ADDED' || n, 'BMW', 'X5', 2022, $1
                  FROM generate_series(1, $2::int) n RETURNING vehicle_id::text";
    let rows = sql.query(insert, &[&status, &count]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Connects all vehicles of the seeds.
async fn connect_vehicles(world: &World) {
    let sql = "UPDATE vehicles SET connection_status = 'connected'";
    world.sql().await.execute(sql, &[]).await.unwrap();
}

/// Asserts that the events contain each of the responses once and in order, followed by one terminal event.
#[track_caller]
fn assert_complete(events: &[Value], responses: RangeInclusive<i64>) {
    let expected: Vec<i64> = responses.collect();
    assert_eq!(numbers(events), expected, "{events:?}");
    let terminal = events
        .iter()
        .filter(|event| matches!(event["status"].as_str(), Some("completed" | "failed")));
    assert_eq!(terminal.count(), 1, "{events:?}");
    assert_eq!(events.last().unwrap()["status"], "completed");
}
