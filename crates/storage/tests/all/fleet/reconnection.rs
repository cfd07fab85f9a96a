use chrono::{DateTime, TimeDelta, Utc};
use sovd_domain::{CommandId, VehicleId};
use sovd_storage::{
    commands::queue,
    notifications::{self, Listener, Notification},
};
use uuid::Uuid;

use crate::{
    commands::queue::{claims, ids},
    fixture::Fleet,
    waiting::within_deadline,
};

/// A vehicle in `status` with two commands that are due in one day by the clock of PostgreSQL.
async fn with_queue(status: &str) -> (Fleet, VehicleId, [CommandId; 2]) {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    fleet.set_status(vehicle, status).await;
    let commands = [
        fleet.submit(1, vehicle).await,
        fleet.submit(2, vehicle).await,
    ];
    postpone(&fleet).await;
    (fleet, vehicle, commands)
}

async fn postpone(fleet: &Fleet) {
    let sql = "UPDATE command_queue SET due_at = now() + INTERVAL '1 day',
                                        expires_at = now() + INTERVAL '1 day'";
    fleet.client.batch_execute(sql).await.unwrap();
}

async fn now(fleet: &Fleet) -> DateTime<Utc> {
    let row = fleet.client.query_one("SELECT now()", &[]).await;
    row.unwrap().get(0)
}

async fn due_at(fleet: &Fleet, command: CommandId) -> DateTime<Utc> {
    let sql = "SELECT due_at FROM command_queue WHERE command_id = $1";
    let row = fleet.client.query_one(sql, &[&command.0]).await;
    row.unwrap().get(0)
}

/// Returns whether no notification was sent before this call.
async fn is_silent(fleet: &Fleet, listener: &mut Listener) -> bool {
    let last = Notification::Cancelled(Uuid::from_u128(9));
    notifications::send(&mut *fleet.connection().await, last)
        .await
        .unwrap();
    within_deadline(listener.next()).await.unwrap() == last
}

#[tokio::test]
async fn reconnection_makes_the_first_command_due() {
    for status in ["disconnected", "error"] {
        let (fleet, vehicle, commands) = with_queue(status).await;
        let mut listener = fleet.pool.listen().await.unwrap();
        fleet.set_status(vehicle, "connected").await;
        for notification in [Notification::Vehicle(vehicle), Notification::Work] {
            let received = within_deadline(listener.next()).await;
            assert_eq!(received.unwrap(), notification, "{status}");
        }
        let after = now(&fleet).await;
        let due_at = due_at(&fleet, commands[0]).await;
        // It is due even for a process whose clock is slow.
        let behind = after - TimeDelta::seconds(30);
        assert!(due_at <= behind, "{status}: {due_at}");
        let mut connection = fleet.connection().await;
        let claimed = queue::claim(&mut connection, &[], after, after, 10).await;
        assert_eq!(ids(&claims(claimed.unwrap())), commands[..1]);
    }
}

#[tokio::test]
async fn keeps_leased_commands() {
    let (fleet, vehicle, [first, _]) = with_queue("connected").await;
    let now = now(&fleet).await;
    let sql = "UPDATE command_queue SET due_at = now() WHERE command_id = $1";
    fleet.client.execute(sql, &[&first.0]).await.unwrap();
    let mut connection = fleet.connection().await;
    let later = now + chrono::TimeDelta::hours(1);
    let claimed = queue::claim(&mut connection, &[], later, later, 10).await;
    assert_eq!(ids(&claims(claimed.unwrap())), [first]);
    postpone(&fleet).await;
    fleet.set_status(vehicle, "disconnected").await;
    let unchanged = fleet.queued(first).await;
    fleet.set_status(vehicle, "connected").await;
    assert_eq!(fleet.queued(first).await, unchanged);
}

#[tokio::test]
async fn keeps_the_due_time_of_overdue_commands() {
    let (fleet, vehicle, [first, _]) = with_queue("disconnected").await;
    let sql = "UPDATE command_queue SET due_at = now() - INTERVAL '1 day' WHERE command_id = $1";
    fleet.client.execute(sql, &[&first.0]).await.unwrap();
    let unchanged = fleet.queued(first).await;
    fleet.set_status(vehicle, "connected").await;
    assert_eq!(fleet.queued(first).await, unchanged);
}

/// Only the first command of a queue is ever sent, so the others have no delay to end. A reconnection
/// must not update all of 30,000 queued commands.
#[tokio::test]
async fn does_not_rewrite_the_commands_behind_the_first() {
    let (fleet, vehicle, [first, second]) = with_queue("disconnected").await;
    let (head, unchanged) = (fleet.queued(first).await, fleet.queued(second).await);
    fleet.set_status(vehicle, "connected").await;
    assert_ne!(fleet.queued(first).await, head);
    assert_eq!(fleet.queued(second).await, unchanged);
}

#[tokio::test]
async fn keeps_the_commands_of_other_vehicles() {
    let (fleet, vehicle, _) = with_queue("disconnected").await;
    let other = fleet.vehicle("VIN2").await;
    let third = fleet.submit(3, other).await;
    postpone(&fleet).await;
    let unchanged = fleet.queued(third).await;
    fleet.set_status(vehicle, "connected").await;
    assert_eq!(fleet.queued(third).await, unchanged);
}

#[tokio::test]
async fn other_status_changes_make_no_command_due() {
    for (before, after) in [
        ("disconnected", "error"),
        ("error", "disconnected"),
        ("disconnected", "disconnected"),
        ("connected", "connected"),
        ("connected", "disconnected"),
        ("connected", "error"),
    ] {
        let (fleet, vehicle, [first, _]) = with_queue(before).await;
        let mut listener = fleet.pool.listen().await.unwrap();
        let unchanged = fleet.queued(first).await;
        fleet.set_status(vehicle, after).await;
        assert_eq!(fleet.queued(first).await, unchanged, "{before} to {after}");
        if before != after {
            let received = within_deadline(listener.next()).await;
            assert_eq!(received.unwrap(), Notification::Vehicle(vehicle));
        }
        assert!(
            is_silent(&fleet, &mut listener).await,
            "{before} to {after}"
        );
    }
}

#[tokio::test]
async fn update_of_last_seen_makes_no_command_due() {
    let (fleet, _, [first, _]) = with_queue("connected").await;
    let mut listener = fleet.pool.listen().await.unwrap();
    let unchanged = fleet.queued(first).await;
    let sql = "UPDATE vehicles SET last_seen_at = now()";
    fleet.client.batch_execute(sql).await.unwrap();
    assert_eq!(fleet.queued(first).await, unchanged);
    assert!(is_silent(&fleet, &mut listener).await);
}

#[tokio::test]
async fn reconnection_that_is_rolled_back_makes_no_command_due() {
    let (fleet, _, [first, _]) = with_queue("disconnected").await;
    let mut listener = fleet.pool.listen().await.unwrap();
    let unchanged = fleet.queued(first).await;
    let sql = "BEGIN; UPDATE vehicles SET connection_status = 'connected'; ROLLBACK";
    fleet.client.batch_execute(sql).await.unwrap();
    assert_eq!(fleet.queued(first).await, unchanged);
    assert!(is_silent(&fleet, &mut listener).await);
}
