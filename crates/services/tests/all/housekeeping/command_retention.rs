//! Deletion of old commands.

use std::time::Duration;

use chrono::TimeDelta;
use sovd_services::{audit::verification::Verification, housekeeping::Retention};
use sovd_storage::commands::retention;

use crate::{
    audit::sealing::{run_housekeeping_with, seal, verify},
    fixture::{TestBed, VEHICLE, engineer, within},
    scripted_connector::ScriptedConnector,
};

const A_DAY: Retention = Retention {
    commands: Some(Duration::from_hours(24)),
    audit: None,
    agents: None,
};

/// Adds `count` commands that ended at the current time and one second apart before it, each with a response
/// and an audit entry.
async fn add_ended(bed: &TestBed, count: i32) {
    let sql = "
        WITH added AS (
            INSERT INTO commands (user_id, vehicle_id, command_name, command_params, status,
                                  submitted_at, completed_at)
            SELECT $1, $2, 'ReadDTC', '{}', 'completed', ended - interval '1 minute', ended
            FROM generate_series(0, $3 - 1) number,
                 LATERAL (SELECT $4::timestamptz - number * interval '1 second' AS ended) time
            RETURNING command_id),
        answered AS (
            INSERT INTO responses (command_id, response_payload, sequence_number, is_final)
            SELECT command_id, '{}', 1, true FROM added)
        SELECT command_id FROM added";
    let (user, vehicle) = (engineer().user.user_id.0, VEHICLE.0);
    let client = bed.sql().await;
    let added = client
        .query(sql, &[&user, &vehicle, &count, &bed.now()])
        .await;
    assert_eq!(added.unwrap().len(), usize::try_from(count).unwrap());
    let audit = "INSERT INTO audit_logs (command_id, action, entity_type, timestamp)
                 SELECT command_id, 'command.complete', 'command', completed_at FROM commands";
    client.execute(audit, &[]).await.unwrap();
}

async fn count(bed: &TestBed, rows: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {rows}");
    bed.sql().await.query_one(&sql, &[]).await.unwrap().get(0)
}

fn assert_intact(found: &Verification) {
    assert!(found.passed(), "{:?} {:?}", found.broken, found.issues);
}

#[tokio::test]
async fn keeps_commands_forever_by_default() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    add_ended(&bed, 3).await;
    bed.timer.advance(TimeDelta::days(36_500));
    run_housekeeping_with(&bed, Retention::default()).await;
    assert_eq!(count(&bed, "commands").await, 3);
}

#[tokio::test]
async fn keeps_commands_that_are_exactly_as_old_as_the_retention() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    add_ended(&bed, 3).await;
    bed.timer.advance(TimeDelta::days(1));
    run_housekeeping_with(&bed, A_DAY).await;
    assert_eq!(count(&bed, "commands").await, 1);
    assert_eq!(count(&bed, "responses").await, 1);
}

/// Half of the audit entries are sealed before the deletion, the others after it.
#[tokio::test]
async fn the_audit_chain_stays_intact() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    add_ended(&bed, 600).await;
    seal(&bed).await;
    let insert = "INSERT INTO audit_logs (command_id, action, entity_type, timestamp)
                  SELECT command_id, 'command.get', 'command', $1 FROM commands";
    let late = bed.now() + TimeDelta::days(2) - TimeDelta::minutes(1);
    bed.sql().await.execute(insert, &[&late]).await.unwrap();
    bed.timer.advance(TimeDelta::days(2));

    run_housekeeping_with(&bed, A_DAY).await;
    assert_eq!(count(&bed, "commands").await, 0);
    let detached = "audit_logs WHERE command_id IS NULL AND subject_command_id IS NOT NULL";
    assert_eq!(count(&bed, detached).await, 1200);
    let batches = "audit_logs WHERE action = 'command.delete'";
    assert_eq!(count(&bed, batches).await, 2);
    assert_intact(&verify(&bed).await);
    assert_eq!(seal(&bed).await, 602);
    let found = verify(&bed).await;
    assert_intact(&found);
    assert_eq!(found.entries, 1202);
}

#[tokio::test]
async fn keeps_queued_commands() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let queued = bed.submit("ReadDTC").await;
    bed.timer.advance(TimeDelta::days(2));
    run_housekeeping_with(&bed, A_DAY).await;
    assert_eq!(bed.command(queued).await.command_id, queued);
}

#[tokio::test]
async fn submissions_do_not_wait_for_the_deletion() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    add_ended(&bed, 3).await;
    let cutoff = bed.now() + TimeDelta::seconds(1);
    let mut deletion = bed.parts.database.begin().await.unwrap();
    let deleted = retention::delete_ended(&mut deletion, cutoff, None, 10).await;
    assert_eq!(deleted.unwrap().unwrap().count, 3);
    // Of the same user, to the same vehicle, while the deletion is not committed.
    within("a submission", bed.submit("ReadDTC")).await;
    deletion.commit().await.unwrap();
    assert_eq!(count(&bed, "commands").await, 1);
}
