use sovd_domain::{
    AuditEntry, AuditRecord, CommandId, Listing, UserId, VehicleId,
    paging::{AuditKey, KeyOf},
};
use sovd_storage::audit::{self, AuditFilter};

use crate::fixture::{Fleet, at, page};

/// Returns a user, a vehicle and a command, after adding entries about them, one second apart.
async fn trail() -> (Fleet, UserId, VehicleId, CommandId) {
    let fleet = Fleet::new().await;
    let user = fleet.engineer;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    let entries = [
        AuditEntry {
            user_id: Some(user),
            ..AuditEntry::new("auth.login", "session")
        },
        AuditEntry {
            user_id: Some(user),
            vehicle_id: Some(vehicle),
            command_id: Some(command),
            ..AuditEntry::new("command.submit", "command")
        },
        AuditEntry {
            vehicle_id: Some(vehicle),
            command_id: Some(command),
            ..AuditEntry::new("command.complete", "command")
        },
        AuditEntry::new("audit.prune", "audit"),
    ];
    for (second, entry) in (0..).zip(&entries) {
        audit::insert(&mut *fleet.connection().await, entry, at(second))
            .await
            .unwrap();
    }
    (fleet, user, vehicle, command)
}

async fn actions(fleet: &Fleet, filter: &AuditFilter) -> Vec<String> {
    let mut connection = fleet.connection().await;
    let Listing {
        items: entries,
        total,
        ..
    } = audit::list(&mut connection, filter, page(100, 0))
        .await
        .unwrap();
    assert_eq!(i64::try_from(entries.len()).unwrap(), total);
    let paged = audit::page(&mut connection, filter, None, 100).await;
    assert_eq!(paged.unwrap(), entries);
    entries.into_iter().map(|entry| entry.action).collect()
}

#[tokio::test]
async fn filters_match_entries_of_deleted_objects() {
    let (fleet, user, vehicle, command) = trail().await;
    let all = AuditFilter::default();
    let (login, submit, complete, prune) = (
        "auth.login",
        "command.submit",
        "command.complete",
        "audit.prune",
    );
    let cases: Vec<(AuditFilter, Vec<&str>)> = vec![
        (all.clone(), vec![prune, complete, submit, login]),
        (
            AuditFilter {
                user_id: Some(user),
                ..all.clone()
            },
            vec![submit, login],
        ),
        (
            AuditFilter {
                vehicle_id: Some(vehicle),
                ..all.clone()
            },
            vec![complete, submit],
        ),
        (
            AuditFilter {
                command_id: Some(command),
                ..all.clone()
            },
            vec![complete, submit],
        ),
        (
            AuditFilter {
                action: Some(login.to_owned()),
                ..all.clone()
            },
            vec![login],
        ),
        (
            AuditFilter {
                entity_type: Some("audit".to_owned()),
                ..all.clone()
            },
            vec![prune],
        ),
        (
            AuditFilter {
                start: Some(at(2)),
                ..all.clone()
            },
            vec![prune, complete],
        ),
        (
            AuditFilter {
                end: Some(at(0)),
                ..all.clone()
            },
            vec![login],
        ),
        (
            AuditFilter {
                user_id: Some(user),
                vehicle_id: Some(vehicle),
                command_id: Some(command),
                ..all.clone()
            },
            vec![submit],
        ),
    ];
    for deletion in [
        "",
        "DELETE FROM commands",
        "DELETE FROM vehicles; DELETE FROM users",
    ] {
        fleet.client.batch_execute(deletion).await.unwrap();
        for (filter, expected) in &cases {
            assert_eq!(
                &actions(&fleet, filter).await,
                expected,
                "{deletion} {filter:?}"
            );
        }
    }
    let other = AuditFilter {
        user_id: Some(UserId(vehicle.0)),
        ..all
    };
    assert_eq!(actions(&fleet, &other).await, [""; 0]);
}

#[tokio::test]
async fn consecutive_pages_contain_every_entry_once() {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    let entry = AuditEntry::new("test", "test");
    // Several have the same timestamp, so that their ids determine the order.
    for number in 0..7 {
        audit::insert(&mut connection, &entry, at(number / 3))
            .await
            .unwrap();
    }
    let all = AuditFilter::default();
    let Listing {
        items: expected,
        total,
        ..
    } = audit::list(&mut connection, &all, page(100, 0))
        .await
        .unwrap();
    assert_eq!(total, 7);
    let mut found: Vec<AuditRecord> = Vec::new();
    loop {
        let cursor = found.last().and_then(AuditKey::of);
        let entries = audit::page(&mut connection, &all, cursor, 2).await.unwrap();
        if entries.is_empty() {
            break;
        }
        assert!(entries.len() <= 2);
        found.extend(entries);
        audit::insert(&mut connection, &entry, at(9)).await.unwrap();
    }
    assert_eq!(found, expected);
    let Listing { items: second, .. } = audit::list(
        &mut connection,
        &AuditFilter {
            end: Some(at(2)),
            ..all
        },
        page(2, 2),
    )
    .await
    .unwrap();
    assert_eq!(second, expected[2..4]);
}
