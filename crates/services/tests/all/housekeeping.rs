pub(crate) mod command_retention;

use std::time::Duration;

use chrono::TimeDelta;
use sovd_services::housekeeping::Retention;
use tokio_util::sync::CancellationToken;

use crate::{
    audit::sealing::{run_housekeeping_with, sealed},
    fixture::{TestBed, within},
    scripted_connector::ScriptedConnector,
};

/// The interval of the housekeeping.
const INTERVAL: TimeDelta = TimeDelta::minutes(10);

async fn sessions(bed: &TestBed) -> Vec<String> {
    let sql = "SELECT refresh_token FROM sessions ORDER BY refresh_token";
    let rows = bed.sql().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn deletes_expired_sessions() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let soon = bed.now() + TimeDelta::minutes(5);
    let sql = bed.sql().await;
    let expiring = "UPDATE sessions SET expires_at = $1 WHERE refresh_token = 'engineer'";
    sql.execute(expiring, &[&soon]).await.unwrap();
    let spent =
        "INSERT INTO spent_refresh_tokens (token_hash, session_id, spent_at, successor_salt)
                 SELECT refresh_token, session_id, now(), '' FROM sessions";
    sql.execute(spent, &[]).await.unwrap();

    let stop = CancellationToken::new();
    let running = bed
        .parts
        .housekeeping(Retention::default())
        .run(stop.clone());
    let running = tokio::spawn(running);
    let next = bed.now() + INTERVAL;
    within("the first round", bed.timer.awaited(next)).await;
    let others = ["admin", "customer", "manufacturer", "service"];
    assert_eq!(sessions(&bed).await.len(), others.len() + 1);
    bed.timer.advance(INTERVAL);
    let next = bed.now() + INTERVAL;
    within("the second round", bed.timer.awaited(next)).await;
    assert_eq!(sessions(&bed).await, others);
    let left = "SELECT token_hash FROM spent_refresh_tokens ORDER BY token_hash";
    let rows = sql.query(left, &[]).await.unwrap();
    let left: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(left, others);
    stop.cancel();
    running.await.unwrap();
}

/// Adds an entry of a year ago to the activity log of agents.
async fn add_old_activity(bed: &TestBed) {
    let write = "INSERT INTO ueba_logs (agent_name, action_type, status, timestamp)
                 VALUES ('monitor', 'vehicles.read', 'ALLOWED', $1)";
    let then = bed.now() - TimeDelta::days(365);
    bed.sql().await.execute(write, &[&then]).await.unwrap();
}

const A_DAY: Retention = Retention {
    commands: Some(Duration::from_hours(24)),
    audit: Some(Duration::from_hours(24)),
    agents: Some(Duration::from_hours(24)),
};

#[tokio::test]
async fn a_failed_deletion_does_not_prevent_the_others() {
    let bed = sealed(3).await;
    bed.timer.advance(TimeDelta::days(2));
    let rename = "ALTER TABLE ueba_logs RENAME TO lost";
    let sql = bed.sql().await;
    sql.batch_execute(rename).await.unwrap();
    run_housekeeping_with(&bed, A_DAY).await;
    let pruned = "SELECT count(*) FROM audit_logs WHERE action = 'audit.prune'";
    let row = sql.query_one(pruned, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn stops_before_deleting_all_old_entries() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    add_old_activity(&bed).await;
    let stop = CancellationToken::new();
    stop.cancel();
    bed.parts.housekeeping(A_DAY).run(stop).await;
    let left = "SELECT count(*) FROM ueba_logs";
    let row = bed.sql().await.query_one(left, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    run_housekeeping_with(&bed, A_DAY).await;
    let row = bed.sql().await.query_one(left, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}
