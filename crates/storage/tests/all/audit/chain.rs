//! How lines get their places in the chain.

use sovd_domain::{AuditEntry, audit::Link};
use sovd_storage::{
    StorageError,
    audit::{self, chain, pruning},
};

use crate::{
    audit::guards::{link, seal, write},
    fixture::{Fleet, at},
};

#[tokio::test]
async fn a_chain_begins_before_its_first_line() {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    let head = chain::head(&mut connection).await.unwrap();
    assert_eq!(head, Some(Link::GENESIS));
    assert_eq!(pruning::newest(&mut connection).await.unwrap(), None);
    assert_eq!(chain::count_unsealed(&mut connection).await.unwrap(), 0);
}

#[tokio::test]
async fn the_oldest_lines_come_first_and_move_the_head() {
    let fleet = Fleet::new().await;
    write(&fleet, 3).await;
    let mut connection = fleet.connection().await;
    let lines = chain::lock_unsealed(&mut connection, 9).await.unwrap();
    seal(&fleet, 2).await;
    assert_eq!(chain::head(&mut connection).await.unwrap(), Some(link(2)));
    assert_eq!(chain::count_unsealed(&mut connection).await.unwrap(), 1);
    seal(&fleet, 9).await;
    let sealed = chain::sealed_after(&mut connection, None, 9).await.unwrap();
    let contents: Vec<_> = sealed
        .iter()
        .map(|line| (line.log_id, &line.content))
        .collect();
    let expected: Vec<_> = lines
        .iter()
        .map(|line| (line.log_id, &line.content))
        .collect();
    assert_eq!(contents, expected);
    let positions: Vec<i64> = sealed.iter().map(|line| line.position).collect();
    assert_eq!(positions, [1, 2, 3]);
    let first = Some((1, sealed[0].log_id));
    let rest = chain::sealed_after(&mut connection, first, 1).await;
    assert_eq!(rest.unwrap(), sealed[1..2]);
}

#[tokio::test]
async fn whoever_finds_the_head_taken_leaves_it() {
    let fleet = Fleet::new().await;
    let mut one = fleet.pool.begin().await.unwrap();
    let mut other = fleet.pool.begin().await.unwrap();
    assert!(chain::claim_head(&mut one).await.unwrap().is_some());
    assert_eq!(chain::claim_head(&mut other).await.unwrap(), None);
    one.rollback().await.unwrap();
    assert!(chain::claim_head(&mut other).await.unwrap().is_some());
}

#[tokio::test]
async fn a_line_that_somebody_changes_waits_for_the_next_time() {
    let fleet = Fleet::new().await;
    write(&fleet, 2).await;
    let deleting = fleet.another_client().await;
    deleting
        .batch_execute("BEGIN; DELETE FROM users")
        .await
        .unwrap();
    let mut connection = fleet.connection().await;
    let lines = chain::lock_unsealed(&mut connection, 9).await.unwrap();
    assert_eq!(lines, []);
    deleting.batch_execute("COMMIT").await.unwrap();
    let lines = chain::lock_unsealed(&mut connection, 9).await.unwrap();
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn a_line_that_is_committed_late_comes_behind_newer_ones() {
    let fleet = Fleet::new().await;
    let late = AuditEntry::new("late", "test");
    let mut transaction = fleet.pool.begin().await.unwrap();
    audit::insert(&mut transaction, &late, at(0)).await.unwrap();
    let early = AuditEntry::new("early", "test");
    audit::insert(&mut *fleet.connection().await, &early, at(1))
        .await
        .unwrap();
    seal(&fleet, 9).await;
    transaction.commit().await.unwrap();
    seal(&fleet, 9).await;
    let mut connection = fleet.connection().await;
    let sealed = chain::sealed_after(&mut connection, None, 9).await.unwrap();
    assert_eq!(sealed.len(), 2);
    assert!(sealed[0].content.contains("early"), "{sealed:?}");
    assert!(sealed[1].content.contains("late"), "{sealed:?}");
}

#[tokio::test]
async fn a_place_is_given_once() {
    let fleet = Fleet::new().await;
    write(&fleet, 2).await;
    let mut transaction = fleet.pool.begin().await.unwrap();
    let lines = chain::lock_unsealed(&mut transaction, 9).await.unwrap();
    let twice: Vec<_> = lines.iter().map(|line| (line.log_id, link(1))).collect();
    let error = chain::seal(&mut transaction, &twice).await.unwrap_err();
    let StorageError::Duplicate { constraint } = error else {
        panic!("{error:?}")
    };
    assert_eq!(constraint, "unq_audit_logs_position");
}

#[tokio::test]
async fn the_oldest_line_that_waits_is_known() {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    let oldest = chain::oldest_unsealed(&mut connection).await.unwrap();
    assert_eq!(oldest, None);
    write(&fleet, 3).await;
    for (sealed, oldest) in [(0, Some(at(0))), (2, Some(at(2))), (1, None)] {
        seal(&fleet, sealed).await;
        let found = chain::oldest_unsealed(&mut connection).await.unwrap();
        assert_eq!(found, oldest);
    }
    for (position, time) in [
        (0, None),
        (1, Some(at(0))),
        (2, Some(at(1))),
        (3, Some(at(2))),
    ] {
        let found = chain::latest_timestamp_up_to(&mut connection, position).await;
        assert_eq!(found.unwrap(), time);
    }
}

#[tokio::test]
async fn the_content_tells_every_two_lines_apart() {
    let fleet = Fleet::new().await;
    let values = [
        "details = NULL",
        "details = 'null'",
        "details = '{}'",
        "details = '1'",
        "details = '1.0'",
        "user_agent = NULL",
        "user_agent = ''",
        "user_agent = 'null'",
        "ip_address = 'x', user_agent = 'y'",
        "user_agent = 'xy'",
        "timestamp = '2026-01-01 00:00:00.000001Z'",
        "timestamp = '2026-01-01 00:00:00.000002Z'",
    ];
    fleet
        .client
        .batch_execute(
            "INSERT INTO audit_logs (log_id, action, entity_type, timestamp)
             VALUES ('00000000-0000-0000-0000-000000000001', 'a', 'b', '2026-01-01T00:00:00Z');
             ALTER TABLE audit_logs DISABLE TRIGGER USER",
        )
        .await
        .unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for value in values {
        let sql = format!("BEGIN; UPDATE audit_logs SET {value}; COMMIT");
        fleet.client.batch_execute(&sql).await.unwrap();
        let mut connection = fleet.connection().await;
        let lines = chain::lock_unsealed(&mut connection, 1).await.unwrap();
        assert!(seen.insert(lines[0].content.clone()), "{value}");
        let reset = "UPDATE audit_logs SET details = '{}', user_agent = 'none', ip_address = NULL,
                     timestamp = '2026-01-01T00:00:00Z'";
        fleet.client.batch_execute(reset).await.unwrap();
    }
}
