use chrono::{DateTime, Utc};
use sovd_storage::commands::queue;

use crate::fixture::{EXPIRY, Fleet, at};

const NOW: i64 = 10;

async fn next_moment(fleet: &Fleet) -> Option<DateTime<Utc>> {
    let mut connection = fleet.connection().await;
    queue::next_moment(&mut connection, at(NOW)).await.unwrap()
}

async fn set(fleet: &Fleet, changes: &str) {
    let sql = format!("UPDATE command_queue SET {changes}");
    let times = [at(NOW - 1), at(NOW), at(NOW + 1), at(NOW + 2)];
    let sql = ["$before", "$now", "$soon", "$later"]
        .iter()
        .zip(times)
        .fold(sql, |sql, (name, time)| {
            sql.replace(name, &format!("'{}'", time.to_rfc3339()))
        });
    fleet.client.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn an_empty_queue_is_never_due() {
    let fleet = Fleet::new().await;
    assert_eq!(next_moment(&fleet).await, None);
}

#[tokio::test]
async fn a_sendable_command_is_due_at_its_due_time() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    fleet.submit(1, vehicle).await;
    for (due, expected) in [("$before", NOW), ("$now", NOW), ("$soon", NOW + 1)] {
        set(&fleet, &format!("due_at = {due}")).await;
        assert_eq!(next_moment(&fleet).await, Some(at(expected)), "{due}");
    }
    set(&fleet, "due_at = $later, expires_at = $soon").await;
    assert_eq!(next_moment(&fleet).await, Some(at(NOW + 1)), "it expires");
}

#[tokio::test]
async fn a_command_for_a_disconnected_vehicle_is_due_when_it_expires() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    fleet.submit(1, vehicle).await;
    let away = "UPDATE vehicles SET connection_status = 'disconnected'";
    fleet.client.batch_execute(away).await.unwrap();
    set(&fleet, "due_at = $before").await;
    assert_eq!(next_moment(&fleet).await, Some(at(EXPIRY)));
    for (expires, expected) in [("$soon", NOW + 1), ("$now", NOW), ("$before", NOW)] {
        set(&fleet, &format!("expires_at = {expires}")).await;
        assert_eq!(next_moment(&fleet).await, Some(at(expected)), "{expires}");
    }
    // The outcome of a sent command is determined even if the vehicle is not connected.
    set(
        &fleet,
        "send_count = 1, due_at = $before, expires_at = $later",
    )
    .await;
    assert_eq!(next_moment(&fleet).await, Some(at(NOW)));
}

#[tokio::test]
async fn a_leased_task_is_due_when_its_lease_expires() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    fleet.submit(1, vehicle).await;
    let lease = "lease_id = gen_random_uuid(), due_at = $before, expires_at = $before";
    for task in ["false", "true"] {
        set(
            &fleet,
            &format!("{lease}, is_cancelled = {task}, lease_expires_at = $soon"),
        )
        .await;
        assert_eq!(next_moment(&fleet).await, Some(at(NOW + 1)), "{task}");
        set(&fleet, "lease_expires_at = $now").await;
        assert_eq!(next_moment(&fleet).await, Some(at(NOW)), "{task}");
    }
}

#[tokio::test]
async fn the_earliest_task_decides() {
    let fleet = Fleet::new().await;
    for number in 1..=3_u32 {
        let vehicle = fleet.vehicle(&format!("VIN{number}")).await;
        fleet.submit(u128::from(number), vehicle).await;
    }
    set(&fleet, "due_at = $later").await;
    assert_eq!(next_moment(&fleet).await, Some(at(NOW + 2)));
    let first = "UPDATE command_queue SET due_at = $1
                 WHERE position = (SELECT max(position) FROM command_queue)";
    fleet.client.execute(first, &[&at(NOW + 1)]).await.unwrap();
    assert_eq!(next_moment(&fleet).await, Some(at(NOW + 1)));
}
