//! The cost of a claim with large backlogs, measured by the plan of the statement.

use serde_json::Value;
use sovd_domain::VehicleId;
use sovd_storage::commands::queue;

use crate::{
    commands::queue::{claim, ids},
    fixture::{EXPIRY, Fleet, at},
    waiting::within_deadline,
};

/// The maximum number of rows read by a plan node: claimed rows and rolled-back row versions.
const ROWS: f64 = 20.0;

/// The maximum number of buffers of a claim of one task: index descents and the pages of the rows, those of
/// the command, its vehicle and its responses included.
const BUFFERS: i64 = 120;

/// Queues `per_vehicle` commands for each vehicle whose make is `Absent`, alternating between vehicles.
pub(crate) async fn add_backlog(fleet: &Fleet, vehicles: i32, per_vehicle: i32) {
    let sql = "INSERT INTO vehicles (vin, make, model, year, connection_status)
               SELECT 'ABSENT' || n, 'Absent', 'X5', 2022, 'disconnected'
               FROM generate_series(1, $1) n";
    fleet.client.execute(sql, &[&vehicles]).await.unwrap();
    let sql = "INSERT INTO commands
                   (command_id, user_id, vehicle_id, command_name, command_params, expires_at)
               SELECT gen_random_uuid(), $1, vehicle_id, 'ReadDTC', '{}', $3
               FROM generate_series(1, $2) n, vehicles WHERE make = 'Absent'";
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&fleet.engineer.0, &per_vehicle, &at(EXPIRY)];
    fleet.client.execute(sql, &values).await.unwrap();
    let sql = "INSERT INTO command_queue (command_id, vehicle_id, due_at, expires_at)
               SELECT command_id, vehicle_id, $1, $2 FROM commands
               WHERE NOT EXISTS (SELECT FROM command_queue queued
                                 WHERE queued.command_id = commands.command_id)";
    fleet
        .client
        .execute(sql, &[&at(0), &at(EXPIRY)])
        .await
        .unwrap();
}

/// Returns the plan of a claim of up to `limit` tasks and rolls the claim back.
async fn plan(fleet: &Fleet, limit: i64) -> Value {
    let moment = |seconds| format!("TIMESTAMPTZ '{}'", at(seconds).to_rfc3339());
    let values = [
        moment(0),
        "ARRAY['ReadDTC']".to_owned(),
        limit.to_string(),
        moment(30),
        moment(0),
    ];
    let with_value = |sql: String, value: &String| sql.replacen("{}", value, 1);
    let claim = values.iter().fold(queue::CLAIM.to_owned(), with_value);
    let sql = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {claim}");
    let client = &fleet.client;
    client.batch_execute("BEGIN").await.unwrap();
    let row = client.query_one(&sql, &[]).await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    let plans: Value = row.get(0);
    plans[0]["Plan"].clone()
}

/// Returns the largest number of rows read by a plan node.
fn most_rows(node: &Value) -> f64 {
    let passed = ["Rows Removed by Filter", "Rows Removed by Join Filter"]
        .map(|name| node[name].as_f64().unwrap_or(0.0));
    let rows = node["Actual Rows"].as_f64().unwrap() + passed.iter().sum::<f64>();
    let below = node["Plans"].as_array().into_iter().flatten();
    below
        .map(most_rows)
        .fold(rows * node["Actual Loops"].as_f64().unwrap(), f64::max)
}

fn buffers(node: &Value) -> i64 {
    ["Shared Hit Blocks", "Shared Read Blocks"]
        .iter()
        .map(|name| node[name].as_i64().unwrap())
        .sum()
}

/// Asserts that claims are cheap with a backlog for `vehicles` disconnected vehicles, with and without
/// table statistics.
async fn assert_cheap_claims(vehicles: i32, per_vehicle: i32) {
    let fleet = Fleet::new().await;
    add_backlog(&fleet, vehicles, per_vehicle).await;
    let (one, two) = (fleet.vehicle("VIN1").await, fleet.vehicle("VIN2").await);
    let commands = [fleet.submit(1, one).await, fleet.submit(2, two).await];
    fleet.submit(3, one).await;
    for maintenance in ["SELECT", "ANALYZE", "VACUUM ANALYZE"] {
        fleet.client.batch_execute(maintenance).await.unwrap();
        for limit in [1, 64, 10_000] {
            let plan = plan(&fleet, limit).await;
            assert!(most_rows(&plan) <= ROWS, "{maintenance}, {limit}: {plan:#}");
            assert!(
                buffers(&plan) <= BUFFERS,
                "{maintenance}, {limit}: {plan:#}"
            );
        }
    }
    assert_eq!(ids(&claim(&fleet, 0, 64).await), commands);
}

#[tokio::test]
async fn a_claim_skips_a_backlog_for_one_disconnected_vehicle() {
    assert_cheap_claims(1, 3000).await;
}

#[tokio::test]
async fn a_claim_skips_a_backlog_for_many_disconnected_vehicles() {
    assert_cheap_claims(1000, 2).await;
}

#[tokio::test]
async fn a_claim_reads_no_leased_or_postponed_tasks() {
    let fleet = Fleet::new().await;
    add_backlog(&fleet, 1000, 2).await;
    let sql = "UPDATE vehicles SET connection_status = 'connected'";
    fleet.client.batch_execute(sql).await.unwrap();
    let claimed = claim(&fleet, 0, 500).await;
    assert_eq!(claimed.len(), 500);
    let later = "UPDATE command_queue SET due_at = $1 WHERE lease_id IS NULL";
    fleet.client.execute(later, &[&at(60)]).await.unwrap();
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    fleet.client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let plan = plan(&fleet, 64).await;
    assert!(most_rows(&plan) <= ROWS, "{plan:#}");
    assert!(buffers(&plan) <= BUFFERS, "{plan:#}");
    assert_eq!(ids(&claim(&fleet, 0, 64).await), [command]);
}

#[tokio::test]
async fn a_claim_stops_at_its_limit() {
    let fleet = Fleet::new().await;
    add_backlog(&fleet, 1000, 2).await;
    let sql = "UPDATE vehicles SET connection_status = 'connected'";
    fleet.client.batch_execute(sql).await.unwrap();
    fleet.client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let plan = plan(&fleet, 3).await;
    assert!(most_rows(&plan) <= ROWS, "{plan:#}");
}

#[tokio::test]
async fn a_long_queue_of_one_vehicle_is_claimed_in_order() {
    let fleet = Fleet::new().await;
    add_backlog(&fleet, 1, 3000).await;
    let sql = "SELECT vehicle_id FROM vehicles";
    let vehicle = VehicleId(fleet.client.query_one(sql, &[]).await.unwrap().get(0));
    fleet.set_status(vehicle, "connected").await;
    let sql = "SELECT command_id FROM command_queue ORDER BY position LIMIT 200";
    let rows = fleet.client.query(sql, &[]).await.unwrap();
    let mut connection = fleet.connection().await;
    for row in rows {
        let [claim] = claim(&fleet, 0, 10).await[..] else {
            panic!("not exactly one claim")
        };
        assert_eq!(claim.command_id.0, row.get::<_, uuid::Uuid>(0));
        within_deadline(queue::remove(&mut connection, claim.command_id))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn counts_entries_of_a_vehicle_and_a_user_up_to_a_limit() {
    let fleet = Fleet::new().await;
    let (one, other) = (fleet.vehicle("VIN1").await, fleet.vehicle("VIN2").await);
    for number in 1..=3 {
        fleet.submit(number, one).await;
    }
    fleet.submit(4, other).await;
    let mut connection = fleet.connection().await;
    for (most, of_one, of_user) in [(0, 0, 0), (2, 2, 2), (3, 3, 3), (4, 3, 4), (9, 3, 4)] {
        let counted = queue::count_of_vehicle(&mut connection, one, most).await;
        assert_eq!(counted.unwrap(), of_one, "{most}");
        let counted = queue::count_of_user(&mut connection, fleet.engineer, most).await;
        assert_eq!(counted.unwrap(), of_user, "{most}");
    }
    let idle = fleet.user("idle").await;
    let counted = queue::count_of_user(&mut connection, idle, 9).await;
    assert_eq!(counted.unwrap(), 0);
}
