//! Sealing of entries.

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
async fn a_new_chain_starts_at_genesis() {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    let head = chain::head(&mut connection).await.unwrap();
    assert_eq!(head, Some(Link::GENESIS));
    assert_eq!(pruning::newest(&mut connection).await.unwrap(), None);
    assert_eq!(chain::count_unsealed(&mut connection).await.unwrap(), 0);
}

#[tokio::test]
async fn seals_the_oldest_entries_first() {
    let fleet = Fleet::new().await;
    write(&fleet, 3).await;
    let mut connection = fleet.connection().await;
    let entries = chain::lock_unsealed(&mut connection, 9).await.unwrap();
    seal(&fleet, 2).await;
    assert_eq!(chain::head(&mut connection).await.unwrap(), Some(link(2)));
    assert_eq!(chain::count_unsealed(&mut connection).await.unwrap(), 1);
    seal(&fleet, 9).await;
    let sealed = chain::sealed_after(&mut connection, None, 9).await.unwrap();
    let contents: Vec<_> = sealed
        .iter()
        .map(|entry| (entry.log_id, &entry.content))
        .collect();
    let expected: Vec<_> = entries
        .iter()
        .map(|entry| (entry.log_id, &entry.content))
        .collect();
    assert_eq!(contents, expected);
    let positions: Vec<i64> = sealed.iter().map(|entry| entry.position).collect();
    assert_eq!(positions, [1, 2, 3]);
    let first = Some((1, sealed[0].log_id));
    let rest = chain::sealed_after(&mut connection, first, 1).await;
    assert_eq!(rest.unwrap(), sealed[1..2]);
}

#[tokio::test]
async fn claiming_a_locked_head_returns_none() {
    let fleet = Fleet::new().await;
    let mut one = fleet.pool.begin().await.unwrap();
    let mut other = fleet.pool.begin().await.unwrap();
    assert!(chain::claim_head(&mut one).await.unwrap().is_some());
    assert_eq!(chain::claim_head(&mut other).await.unwrap(), None);
    one.rollback().await.unwrap();
    assert!(chain::claim_head(&mut other).await.unwrap().is_some());
}

#[tokio::test]
async fn skips_entries_locked_by_other_transactions() {
    let fleet = Fleet::new().await;
    write(&fleet, 2).await;
    let deleting = fleet.another_client().await;
    deleting
        .batch_execute("BEGIN; DELETE FROM users")
        .await
        .unwrap();
    let mut connection = fleet.connection().await;
    let entries = chain::lock_unsealed(&mut connection, 9).await.unwrap();
    assert_eq!(entries, []);
    deleting.batch_execute("COMMIT").await.unwrap();
    let entries = chain::lock_unsealed(&mut connection, 9).await.unwrap();
    assert_eq!(entries.len(), 2);
}

#[tokio::test]
async fn entries_are_sealed_in_commit_order() {
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
async fn a_position_is_unique() {
    let fleet = Fleet::new().await;
    write(&fleet, 2).await;
    let mut transaction = fleet.pool.begin().await.unwrap();
    let entries = chain::lock_unsealed(&mut transaction, 9).await.unwrap();
    let twice: Vec<_> = entries
        .iter()
        .map(|entry| (entry.log_id, link(1)))
        .collect();
    let error = chain::seal(&mut transaction, &twice).await.unwrap_err();
    let StorageError::Duplicate { constraint } = error else {
        panic!("{error:?}")
    };
    assert_eq!(constraint, "unq_audit_logs_position");
}

#[tokio::test]
async fn finds_the_oldest_unsealed_and_the_latest_sealed_entry() {
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
async fn different_entries_have_different_content() {
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
        let entries = chain::lock_unsealed(&mut connection, 1).await.unwrap();
        assert!(seen.insert(entries[0].content.clone()), "{value}");
        let reset = "UPDATE audit_logs SET details = '{}', user_agent = 'none', ip_address = NULL,
                     timestamp = '2026-01-01T00:00:00Z'";
        fleet.client.batch_execute(reset).await.unwrap();
    }
}
