//! Pruning of the chain, and what checkpoints detect.

use std::time::Duration;

use chrono::TimeDelta;
use sovd_domain::audit::{ChainHash, Link};
use sovd_services::audit::{checkpoint::Checkpoint, verification::VerificationIssue};

use crate::{
    audit::sealing::{
        BY_FORCE, checkpoint, run_housekeeping, seal, sealed, verify, verify_by, verify_with, write,
    },
    fixture::{TestBed, engineer},
};

#[tokio::test]
async fn a_checkpoint_detects_a_rebuilt_chain() {
    let bed = sealed(3).await;
    let early = checkpoint(&bed).await;
    write(&bed, 2).await;
    seal(&bed).await;
    let late = checkpoint(&bed).await;
    let found = verify_with(&bed, &[early, late]).await;
    assert_eq!((found.broken, found.checkpoints), (None, 2));

    let rebuild = format!(
        "{BY_FORCE}DELETE FROM audit_logs WHERE position = 5;
         UPDATE audit_logs SET position = NULL, hash = NULL, action = 'x';
         UPDATE audit_chain_head SET position = 0, hash = decode(repeat('00', 32), 'hex')"
    );
    bed.sql().await.batch_execute(&rebuild).await.unwrap();
    assert_eq!(seal(&bed).await, 4);
    assert_eq!(verify(&bed).await.broken, None);
    let broken = verify_with(&bed, &[late, early]).await.broken.unwrap();
    assert_eq!(broken.position, 3);
    let broken = verify_with(&bed, &[late]).await.broken.unwrap();
    assert_eq!(broken.position, 5);
    assert!(broken.reason.contains("the chain ends at 4"), "{broken:?}");
}

#[tokio::test]
async fn the_chain_stays_intact_after_pruning() {
    let bed = sealed(4).await;
    let early = checkpoint(&bed).await;
    write(&bed, 1).await;
    seal(&bed).await;
    let last = checkpoint(&bed).await;
    write(&bed, 1).await;
    // The fifth entry is six seconds old; the sixth is five seconds old and not sealed.
    bed.timer.advance(TimeDelta::seconds(5));
    run_housekeeping(&bed, None).await;
    assert_eq!(verify(&bed).await.entries, 5);
    run_housekeeping(&bed, Some(Duration::from_secs(5))).await;
    let found = verify(&bed).await;
    assert_eq!((found.entries, found.beginning), (0, last.link));
    assert_eq!(seal(&bed).await, 2);
    let retention = Some(Duration::from_secs(5));
    let found = verify_by(&bed, retention, Some(&[early, last])).await;
    assert_eq!(found.broken, None);
    assert_eq!((found.entries, found.beginning.position), (2, 5));
    assert_eq!((found.checkpoints, found.pruned_checkpoints), (1, 1));
    let details = "SELECT details::text FROM audit_logs WHERE action = 'audit.prune'";
    let row = bed.sql().await.query_one(details, &[]).await.unwrap();
    let details: String = row.get(0);
    assert!(details.contains("\"lines\": 5"), "{details}");
    assert!(details.contains(&last.link.hash.to_string()), "{details}");

    let forged = Checkpoint {
        link: Link {
            hash: ChainHash([7; 32]),
            ..last.link
        },
        ..last
    };
    let found = verify_by(&bed, retention, Some(&[forged])).await;
    let broken = found.broken.unwrap();
    assert_eq!(broken.position, 5);
    assert!(broken.reason.contains("different hash"), "{broken:?}");
}

/// Prunes the chain by hand, which the database permits; `entry` forges the audit entry.
async fn prune_by_hand(bed: &TestBed, position: i64, entry: &str) {
    let sql = format!(
        "INSERT INTO audit_prunings (position, hash)
         SELECT position, hash FROM audit_logs WHERE position = {position};
         {entry};
         DELETE FROM audit_logs WHERE position <= {position}"
    );
    bed.sql().await.batch_execute(&sql).await.unwrap();
}

/// Returns SQL that forges the entry of a pruning up to `position`.
fn forge_entry(
    position: i64,
    action: &str,
    result: &str,
    position_sql: &str,
    hash_sql: &str,
) -> String {
    format!(
        "INSERT INTO audit_logs (action, entity_type, result, details)
         SELECT '{action}', 'audit', '{result}',
                jsonb_build_object(
                    'position', {position_sql}, 'hash', {hash_sql}, 'lines', {position})
         FROM audit_logs WHERE position = {position}"
    )
}

/// Returns SQL that inserts the exact entry of a pruning up to `position`.
fn exact_entry(position: i64) -> String {
    forge_entry(
        position,
        "audit.prune",
        "done",
        "position",
        "encode(hash, 'hex')",
    )
}

#[tokio::test]
async fn detects_a_pruning_without_an_entry() {
    const HEX: &str = "encode(hash, 'hex')";
    for entry in [
        String::new(),
        forge_entry(2, "audit.pruned", "done", "position", HEX),
        forge_entry(2, "audit.prune", "failed", "position", HEX),
        forge_entry(2, "audit.prune", "done", "position + 1", HEX),
        forge_entry(
            2,
            "audit.prune",
            "done",
            "position",
            "upper(encode(hash, 'hex'))",
        ),
        forge_entry(3, "audit.prune", "done", "2", HEX),
        exact_entry(2).replace("'lines', 2", "'lines', 1"),
        exact_entry(2).replace("'lines', 2", "'lines', 3"),
        exact_entry(2).replace(", 'lines', 2", ""),
        exact_entry(2).replace("'audit',", "'command',"),
        exact_entry(2)
            .replace("entity_type,", "entity_type, user_id,")
            .replace(
                "'audit',",
                &format!("'audit', '{}',", engineer().user.user_id.0),
            ),
        exact_entry(2)
            .replace("entity_type,", "entity_type, timestamp,")
            .replace("'audit',", "'audit', now() - interval '1 us',"),
    ] {
        let bed = sealed(4).await;
        prune_by_hand(&bed, 2, &entry).await;
        for _ in 0..2 {
            let broken = verify(&bed)
                .await
                .broken
                .unwrap_or_else(|| panic!("{entry}"));
            assert_eq!(broken.position, 2, "{entry}");
            assert!(broken.reason.contains("audit.prune"), "{broken:?}");
            // Sealing does not make the forged entry valid.
            seal(&bed).await;
        }
    }
}

#[tokio::test]
async fn detects_a_pruning_of_a_missing_entry() {
    for (position, digits) in [(3, "07"), (1, "00"), (i64::MAX, "07")] {
        for is_recorded in [false, true] {
            let bed = sealed(2).await;
            let pruning = format!(
                "INSERT INTO audit_prunings (position, hash)
                 VALUES ({position}, decode(repeat('{digits}', 32), 'hex'))"
            );
            let entry = format!(
                "INSERT INTO audit_logs (action, entity_type, details)
                 SELECT 'audit.prune', 'audit', jsonb_build_object(
                     'position', {position}, 'hash', repeat('{digits}', 32), 'lines', {position})
                 WHERE {is_recorded}"
            );
            let sql = format!("{pruning}; {entry}");
            bed.sql().await.batch_execute(&sql).await.unwrap();
            let broken = verify(&bed).await.broken;
            assert!(broken.is_some(), "{sql} is not detected");
        }
    }
}

/// The entry must follow the pruned part of the chain.
#[tokio::test]
async fn detects_a_pruning_that_deleted_its_own_entry() {
    let bed = sealed(3).await;
    bed.timer.advance(TimeDelta::seconds(9));
    run_housekeeping(&bed, Some(Duration::from_secs(5))).await;
    assert_eq!(verify(&bed).await.broken, None);
    assert_eq!(seal(&bed).await, 1);
    assert_eq!(verify(&bed).await.broken, None);
    let sql = format!("{BY_FORCE}DELETE FROM audit_logs");
    bed.sql().await.batch_execute(&sql).await.unwrap();
    assert_eq!(verify(&bed).await.broken.unwrap().position, 3);
}

#[tokio::test]
async fn a_checkpoint_detects_premature_pruning() {
    let bed = sealed(2).await;
    let early = checkpoint(&bed).await;
    assert_eq!(early.latest_entry_at, Some(bed.now()));
    write(&bed, 2).await;
    seal(&bed).await;
    let last = checkpoint(&bed).await;
    prune_by_hand(&bed, 4, &exact_entry(4)).await;
    // Only a checkpoint distinguishes this from a regular pruning.
    assert_eq!(verify(&bed).await.broken, None);
    // The second entry is two seconds old, the fourth is new.
    let one_too_young = Some(Duration::from_secs(1));
    for (retention, checkpoint, position) in [
        (None, early, Some(2)),
        (Some(Duration::from_secs(2)), early, Some(2)),
        (one_too_young, early, None),
        (one_too_young, last, Some(4)),
    ] {
        let found = verify_by(&bed, retention, Some(&[checkpoint])).await;
        let broken = found.broken.map(|broken| broken.position);
        assert_eq!(broken, position, "{retention:?} {checkpoint:?}");
    }
    let without_time = Checkpoint {
        latest_entry_at: None,
        ..early
    };
    let found = verify_by(&bed, None, Some(&[without_time])).await;
    assert_eq!(found.broken.unwrap().position, 2);
}

#[tokio::test]
async fn reports_when_no_checkpoint_could_be_compared() {
    let bed = sealed(4).await;
    let early = checkpoint(&bed).await;
    write(&bed, 1).await;
    seal(&bed).await;
    bed.timer.advance(TimeDelta::seconds(9));
    let retention = Some(Duration::from_secs(5));
    run_housekeeping(&bed, retention).await;
    for checkpoints in [&[early][..], &[]] {
        let found = verify_by(&bed, retention, Some(checkpoints)).await;
        assert_eq!(found.broken, None);
        assert_eq!(found.issues, [VerificationIssue::NoComparableCheckpoint]);
        assert!(!found.passed());
    }
    assert!(verify_by(&bed, retention, None).await.passed());
}

/// A role with INSERT can choose the timestamp of an entry, such as the last one before a checkpoint.
#[tokio::test]
async fn a_backdated_entry_does_not_age_a_checkpoint() {
    let bed = sealed(3).await;
    let backdated = "INSERT INTO audit_logs (action, entity_type, timestamp)
                     VALUES ('test', 'test', now() - interval '2 years')";
    bed.sql().await.batch_execute(backdated).await.unwrap();
    assert_eq!(seal(&bed).await, 1);
    let taken = checkpoint(&bed).await;
    assert_eq!(taken.link.position, 4);
    assert_eq!(taken.latest_entry_at, Some(bed.now()));
    prune_by_hand(&bed, 4, &exact_entry(4)).await;
    write(&bed, 1).await;
    seal(&bed).await;
    let later = checkpoint(&bed).await;
    let year = Some(Duration::from_hours(24 * 365));
    let broken = verify_by(&bed, year, Some(&[taken, later])).await.broken;
    assert_eq!(broken.unwrap().position, 4);
}

#[tokio::test]
async fn the_chain_stays_intact_after_pruning_twice() {
    let bed = sealed(4).await;
    let retention = Some(Duration::from_secs(5));
    for _ in 0..2 {
        bed.timer.advance(TimeDelta::seconds(9));
        run_housekeeping(&bed, retention).await;
        assert_eq!(verify(&bed).await.broken, None);
        seal(&bed).await;
        write(&bed, 3).await;
        seal(&bed).await;
    }
    let cuts = "SELECT count(*) FROM audit_prunings";
    let row = bed.sql().await.query_one(cuts, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 2);
    assert_eq!(verify(&bed).await.broken, None);
}
