//! Sealing and verification of the audit trail.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use sovd_domain::{AuditEntry, audit::Link};
use sovd_services::{
    ServiceError,
    audit::{
        AuditFilter, ExportFormat,
        checkpoint::Checkpoint,
        sealing,
        verification::{self, Verification, VerificationIssue, VerificationOptions},
    },
    housekeeping::Retention,
};
use sovd_storage::audit;
use tokio_util::sync::CancellationToken;

use crate::{
    captured_log::CapturedLog,
    commands::watching::poll,
    fixture::{TestBed, VEHICLE, admin, engineer, within},
    scripted_connector::ScriptedConnector,
};

/// Disables the triggers that protect the audit trail, which requires a superuser.
pub(crate) const BY_FORCE: &str = "SET session_replication_role = replica; ";

/// Inserts `count` entries about the engineer and a vehicle, one second apart.
pub(crate) async fn write(bed: &TestBed, count: usize) {
    let entry = AuditEntry {
        user_id: Some(engineer().user.user_id),
        vehicle_id: Some(VEHICLE),
        ..AuditEntry::new("command.submit", "command")
    };
    let mut connection = bed.parts.database.connection().await.unwrap();
    for _ in 0..count {
        bed.timer.advance(TimeDelta::seconds(1));
        audit::insert(&mut connection, &entry, bed.now())
            .await
            .unwrap();
    }
}

pub(crate) async fn seal(bed: &TestBed) -> usize {
    sealing::seal_all(&bed.parts.database).await.unwrap()
}

pub(crate) async fn verify(bed: &TestBed) -> Verification {
    verify_by(bed, None, None).await
}

pub(crate) async fn verify_with(bed: &TestBed, checkpoints: &[Checkpoint]) -> Verification {
    verify_by(bed, None, Some(checkpoints)).await
}

pub(crate) async fn verify_by(
    bed: &TestBed,
    retention: Option<Duration>,
    checkpoints: Option<&[Checkpoint]>,
) -> Verification {
    let options = VerificationOptions {
        now: bed.now(),
        retention,
        checkpoints,
    };
    verification::verify(&bed.parts.database, &options)
        .await
        .unwrap()
}

/// Creates a test bed with `count` sealed entries.
pub(crate) async fn sealed(count: usize) -> TestBed {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    write(&bed, count).await;
    assert_eq!(seal(&bed).await, count);
    bed
}

/// Runs `sql` without the protection of the audit trail. Returns the position of the break, whether it has
/// an entry, and the reason.
async fn broken_by(bed: &TestBed, sql: &str) -> (i64, bool, String) {
    let sql = format!("{BY_FORCE}{sql}");
    bed.sql().await.batch_execute(&sql).await.unwrap();
    let broken = verify(bed).await.broken;
    let broken = broken.unwrap_or_else(|| panic!("{sql} is not detected"));
    (broken.position, broken.log_id.is_some(), broken.reason)
}

pub(crate) async fn checkpoint(bed: &TestBed) -> Checkpoint {
    let database = &bed.parts.database;
    let taken = Checkpoint::take(database, bed.now()).await.unwrap();
    taken.unwrap()
}

/// Runs the housekeeping once with this retention of the audit trail.
pub(crate) async fn run_housekeeping(bed: &TestBed, retention: Option<Duration>) {
    let retention = Retention {
        audit: retention,
        ..Retention::default()
    };
    run_housekeeping_with(bed, retention).await;
}

/// Runs the housekeeping once with this retention.
pub(crate) async fn run_housekeeping_with(bed: &TestBed, retention: Retention) {
    let stop = CancellationToken::new();
    let housekeeping = bed.parts.housekeeping(retention);
    let running = tokio::spawn(housekeeping.run(stop.clone()));
    let next = bed.now() + TimeDelta::minutes(10);
    within("the housekeeping", bed.timer.awaited(next)).await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn an_empty_chain_is_intact() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let found = verify(&bed).await;
    assert_eq!(found.broken, None);
    assert_eq!(
        (found.entries, found.beginning, found.end),
        (0, Link::GENESIS, Link::GENESIS)
    );
}

#[tokio::test]
async fn verifies_sealed_and_counts_unsealed_entries() {
    // More than one batch, and more than one page.
    let bed = sealed(0).await;
    let many = "INSERT INTO audit_logs (action, entity_type)
                SELECT 'test', 'test' FROM generate_series(1, 2500)";
    bed.sql().await.batch_execute(many).await.unwrap();
    assert_eq!(seal(&bed).await, 2500);
    write(&bed, 3).await;
    let found = verify(&bed).await;
    assert_eq!(found.broken, None);
    assert_eq!((found.entries, found.unsealed), (2500, 3));
    assert_eq!(found.end.position, 2500);
}

#[tokio::test]
async fn two_sealing_processes_produce_one_chain() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let stop = CancellationToken::new();
    let interval = Duration::from_secs(1);
    for _ in 0..2 {
        let (database, clock) = (bed.parts.database.clone(), Arc::clone(&bed.parts.clock));
        tokio::spawn(sealing::run(database, clock, interval, stop.clone()));
    }
    let _stopping = stop.drop_guard();
    for round in 1..=10 {
        // This advances the clock by a second and thereby wakes both processes.
        write(&bed, 1).await;
        poll("the entries to be sealed", async || {
            bed.timer.advance(TimeDelta::seconds(1));
            let found = verify(&bed).await;
            assert_eq!(found.broken, None);
            (found.entries == round).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn inserts_do_not_wait_for_sealing() {
    let bed = sealed(1).await;
    let sealer = bed.sql().await;
    sealer
        .batch_execute(
            "BEGIN; SELECT FROM audit_chain_head FOR UPDATE; SELECT FROM audit_logs FOR UPDATE",
        )
        .await
        .unwrap();
    bed.submit("ReadDTC").await;
    assert_eq!(seal(&bed).await, 0);
    sealer.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(seal(&bed).await, 1);
}

#[tokio::test]
async fn the_chain_stays_intact_when_users_are_deleted() {
    let bed = sealed(3).await;
    write(&bed, 1).await;
    let sql = "DELETE FROM users; DELETE FROM vehicles";
    bed.sql().await.batch_execute(sql).await.unwrap();
    seal(&bed).await;
    let found = verify(&bed).await;
    assert_eq!((found.broken, found.entries), (None, 4));
}

#[tokio::test]
async fn detects_a_change_in_any_column() {
    let columns = "SELECT column_name::text FROM information_schema.columns
                   WHERE table_name = 'audit_logs' ORDER BY ordinal_position";
    let bed = sealed(5).await;
    for row in bed.sql().await.query(columns, &[]).await.unwrap() {
        let column: String = row.get(0);
        let (change, position) = match column.as_str() {
            "log_id" | "entity_id" | "actor_id" | "subject_vehicle_id" | "subject_command_id"
            | "user_id" | "vehicle_id" | "command_id" => {
                (format!("{column} = gen_random_uuid()"), 3)
            }
            "details" => ("details = '{\"a\": 1}'".to_owned(), 3),
            "timestamp" => (
                "timestamp = timestamp + interval '1 microsecond'".to_owned(),
                3,
            ),
            "result" => ("result = 'refused'".to_owned(), 3),
            "hash" => ("hash = decode(repeat('00', 32), 'hex')".to_owned(), 3),
            "position" => ("position = 9".to_owned(), 3),
            _ => (format!("{column} = 'x'"), 3),
        };
        let client = bed.sql().await;
        let sql = format!(
            "{BY_FORCE}CREATE TEMPORARY TABLE kept AS SELECT * FROM audit_logs WHERE position = 3;
             UPDATE audit_logs SET {change} WHERE position = 3"
        );
        client.batch_execute(&sql).await.unwrap();
        let broken = verify(&bed).await.broken;
        let broken = broken.unwrap_or_else(|| panic!("{column} is not detected"));
        assert_eq!(broken.position, position, "{column}: {broken:?}");
        let undo = "DELETE FROM audit_logs WHERE position IN (3, 9);
                    INSERT INTO audit_logs SELECT * FROM kept";
        client.batch_execute(undo).await.unwrap();
        assert_eq!(verify(&bed).await.broken, None, "{column}");
    }
}

#[tokio::test]
async fn names_a_changed_reference() {
    let bed = sealed(2).await;
    let sql = "UPDATE audit_logs SET user_id = '00000000-0000-0000-0000-000000000001'
               WHERE position = 2";
    let (position, _, reason) = broken_by(&bed, sql).await;
    assert_eq!(position, 2);
    assert!(reason.contains("user_id"), "{reason}");
}

#[tokio::test]
async fn detects_deleted_entries_at_any_position() {
    for (deleted, position, reason) in [
        ("= 1", 1, "the entry is missing"),
        ("= 3", 3, "the entry is missing"),
        ("IN (2, 3)", 2, "the entries from here to 3 are missing"),
        ("= 5", 5, "the entry is missing"),
        ("> 0", 1, "the entries from here to 5 are missing"),
    ] {
        let bed = sealed(5).await;
        let sql = format!("DELETE FROM audit_logs WHERE position {deleted}");
        let expected = (position, false, reason.to_owned());
        assert_eq!(broken_by(&bed, &sql).await, expected, "{deleted}");
        // Further entries do not repair the chain.
        write(&bed, 1).await;
        seal(&bed).await;
        let broken = verify(&bed).await.broken.unwrap();
        assert_eq!(broken.position, position, "{deleted}");
    }
}

#[tokio::test]
async fn detects_swapped_entries() {
    let bed = sealed(3).await;
    let sql = "UPDATE audit_logs SET position = -1 WHERE position = 2;
               UPDATE audit_logs SET position = 2 WHERE position = 3;
               UPDATE audit_logs SET position = 3 WHERE position = -1";
    assert_eq!(broken_by(&bed, sql).await.0, 2);
}

#[tokio::test]
async fn detects_inserted_entries() {
    for position in [-1, 0, 4] {
        let bed = sealed(3).await;
        let sql = format!(
            "INSERT INTO audit_logs (action, entity_type, position, hash)
             VALUES ('a', 'b', {position}, decode(repeat('07', 32), 'hex'))"
        );
        let (found, is_there, _) = broken_by(&bed, &sql).await;
        assert_eq!((found, is_there), (position, true));
    }
}

#[tokio::test]
async fn detects_a_changed_head() {
    for sql in [
        "DELETE FROM audit_chain_head",
        "TRUNCATE audit_chain_head",
        "UPDATE audit_chain_head SET position = 2",
        "UPDATE audit_chain_head SET position = 4",
        "UPDATE audit_chain_head SET hash = decode(repeat('00', 32), 'hex')",
    ] {
        let bed = sealed(3).await;
        bed.sql().await.batch_execute(sql).await.unwrap();
        let broken = verify(&bed).await.broken.unwrap();
        assert!([3, 4].contains(&broken.position), "{sql}: {broken:?}");
    }
}

/// A role that may write to the tables can also move the head.
#[tokio::test]
async fn forged_positions_are_refused_or_detected() {
    let head = |position: i64, digits: &str| {
        format!(
            "UPDATE audit_chain_head SET position = {position}, hash = decode(repeat('{digits}', 32), 'hex');"
        )
    };
    let entry = |position: i64| {
        format!(
            "UPDATE audit_logs SET position = {position}, hash = decode(repeat('07', 32), 'hex')
             WHERE log_id = (SELECT log_id FROM audit_logs WHERE position IS NULL LIMIT 1);"
        )
    };
    let insert = |position: i64| {
        format!(
            "INSERT INTO audit_logs (action, entity_type, position, hash)
             VALUES ('a', 'b', {position}, decode(repeat('07', 32), 'hex'))"
        )
    };
    let bed = sealed(1).await;
    write(&bed, 2).await;
    for sql in [
        insert(2),
        insert(i64::MAX),
        entry(2),
        entry(0),
        entry(i64::MAX),
        head(2, "07") + &entry(3),
    ] {
        let refused = bed.sql().await.batch_execute(&sql).await.unwrap_err();
        let code = refused.code().map(tokio_postgres::error::SqlState::code);
        assert_eq!(code, Some("23001"), "{sql}: {refused}");
    }
    for sql in [
        head(2, "08") + &entry(2),
        head(3, "07") + &entry(3),
        head(3, "07") + &entry(2),
        head(i64::MAX, "07") + &entry(i64::MAX),
    ] {
        let bed = sealed(1).await;
        write(&bed, 2).await;
        bed.sql().await.batch_execute(&sql).await.unwrap();
        let broken = verify(&bed).await.broken;
        let broken = broken.unwrap_or_else(|| panic!("{sql} is not detected"));
        assert_eq!(broken.position, 2, "{sql}: {broken:?}");
    }
}

#[tokio::test]
async fn reports_entries_unsealed_for_too_long() {
    let bed = sealed(1).await;
    write(&bed, 1).await;
    let written_at = bed.now();
    bed.timer.advance(TimeDelta::minutes(5));
    assert!(verify(&bed).await.passed());
    bed.timer.advance(TimeDelta::microseconds(1));
    let found = verify(&bed).await;
    assert_eq!(found.broken, None);
    assert_eq!(found.issues, [VerificationIssue::Unsealed { written_at }]);
    assert!(!found.passed());
    seal(&bed).await;
    assert!(verify(&bed).await.passed());
}

#[tokio::test]
async fn blocked_sealing_is_logged_once_a_minute() {
    let log = CapturedLog::start();
    let bed = sealed(0).await;
    let blocker = bed.sql().await;
    let lock = "BEGIN; SELECT FROM audit_chain_head FOR UPDATE";
    blocker.batch_execute(lock).await.unwrap();
    write(&bed, 1).await;
    let interval = Duration::from_secs(1);
    let stop = CancellationToken::new();
    tokio::spawn(sealing::run(
        bed.parts.database.clone(),
        Arc::clone(&bed.parts.clock),
        interval,
        stop.clone(),
    ));
    let _stopping = stop.drop_guard();
    for (passed, warnings) in [(0, 0), (60, 0), (1, 0), (59, 1), (1, 1), (58, 1), (1, 2)] {
        bed.timer.advance(TimeDelta::seconds(passed));
        let next = bed.now() + TimeDelta::seconds(1);
        within("a round", bed.timer.awaited(next)).await;
        let logged = log.count("audit entries remain unsealed");
        assert_eq!(logged, warnings, "after {passed} s");
    }
}

/// Without the unique index, the second of two entries at one position could fall between two pages.
#[tokio::test]
async fn detects_duplicate_positions_across_pages() {
    let bed = sealed(0).await;
    let many = "INSERT INTO audit_logs (action, entity_type)
                SELECT 'test', 'test' FROM generate_series(1, 1001)";
    bed.sql().await.batch_execute(many).await.unwrap();
    assert_eq!(seal(&bed).await, 1001);
    let sql = "DROP INDEX unq_audit_logs_position;
               INSERT INTO audit_logs (log_id, action, entity_type, position, hash)
               SELECT 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'forged', 'test', position, hash
               FROM audit_logs WHERE position = 1000";
    let (position, is_there, reason) = broken_by(&bed, sql).await;
    assert_eq!((position, is_there), (1000, true));
    assert!(reason.contains("another entry"), "{reason}");
}

#[tokio::test]
async fn prunes_only_entries_before_the_first_retained_one() {
    let bed = sealed(1).await;
    bed.timer.advance(TimeDelta::seconds(5));
    let old = bed.now() - TimeDelta::days(1);
    let mut connection = bed.parts.database.connection().await.unwrap();
    let late = AuditEntry::new("late", "test");
    audit::insert(&mut connection, &late, old).await.unwrap();
    seal(&bed).await;
    run_housekeeping(&bed, Some(Duration::from_secs(5))).await;
    assert_eq!(verify(&bed).await.beginning, Link::GENESIS);
    bed.timer.advance(TimeDelta::microseconds(1));
    run_housekeeping(&bed, Some(Duration::from_secs(5))).await;
    assert_eq!(verify(&bed).await.beginning.position, 2);
}

#[tokio::test]
async fn requires_the_permission_to_read_the_trail() {
    let bed = sealed(1).await;
    let audit = bed.parts.audit();
    let all = AuditFilter::default();
    let page = sovd_domain::Page::new(None, None).unwrap();
    let refused = audit.list(&engineer(), &all, page).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Forbidden), "{refused:?}");
    let refused = audit
        .export(&engineer(), all.clone(), ExportFormat::Csv)
        .await
        .err();
    assert!(matches!(refused, Some(ServiceError::Forbidden)));
    assert_eq!(audit.list(&admin(), &all, page).await.unwrap().total, 1);
}

#[tokio::test]
async fn an_export_includes_its_own_entry() {
    let bed = sealed(3).await;
    bed.timer.advance(TimeDelta::seconds(1));
    let audit = bed.parts.audit();
    let mut export = audit
        .export(&admin(), AuditFilter::default(), ExportFormat::Ndjson)
        .await
        .unwrap();
    write(&bed, 1).await;
    let entries = export.next_page().await.unwrap();
    assert_eq!(entries.len(), 4);
    assert_eq!(entries[0].action, "audit.export");
    assert_eq!(entries[0].user_id, Some(admin().user.user_id));
    assert_eq!(entries[0].details["format"], "ndjson");
    assert_eq!(export.next_page().await.unwrap(), []);
    assert_eq!(export.next_page().await.unwrap(), []);
}
