use chrono::{DateTime, TimeDelta, Utc};
use sovd_domain::{CommandId, VehicleId};
use sovd_storage::{
    commands::queue,
    notifications::{self, Listener, Notification},
};
use uuid::Uuid;

use crate::{commands::queue::ids, fixture::Fleet, waiting::in_time};

/// A vehicle in `status` with two commands that wait for tomorrow, as PostgreSQL's clock has it.
async fn waiting(status: &str) -> (Fleet, VehicleId, [CommandId; 2]) {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    fleet.set_status(vehicle, status).await;
    let commands = [
        fleet.submit(1, vehicle).await,
        fleet.submit(2, vehicle).await,
    ];
    put_off(&fleet).await;
    (fleet, vehicle, commands)
}

async fn put_off(fleet: &Fleet) {
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

/// Whether nothing was said before this call.
async fn heard_nothing(fleet: &Fleet, listener: &mut Listener) -> bool {
    let last = Notification::Cancelled(Uuid::from_u128(9));
    notifications::send(&mut *fleet.connection().await, last)
        .await
        .unwrap();
    in_time(listener.next()).await.unwrap() == last
}

#[tokio::test]
async fn a_vehicle_that_is_back_has_its_first_command_due_at_once() {
    for status in ["disconnected", "error"] {
        let (fleet, vehicle, commands) = waiting(status).await;
        let mut listener = fleet.pool.listen().await.unwrap();
        fleet.set_status(vehicle, "connected").await;
        for signal in [Notification::Vehicle(vehicle), Notification::Work] {
            let heard = in_time(listener.next()).await;
            assert_eq!(heard.unwrap(), signal, "{status}");
        }
        let after = now(&fleet).await;
        let due_at = due_at(&fleet, commands[0]).await;
        // For a program whose clock is behind, it is due too.
        let behind = after - TimeDelta::seconds(30);
        assert!(due_at <= behind, "{status}: {due_at}");
        let mut connection = fleet.connection().await;
        let claims = queue::claim(&mut connection, after, after, 10).await;
        assert_eq!(ids(&claims.unwrap()), commands[..1]);
    }
}

#[tokio::test]
async fn a_task_in_somebody_s_hands_is_left_to_them() {
    let (fleet, vehicle, [first, _]) = waiting("connected").await;
    let now = now(&fleet).await;
    let sql = "UPDATE command_queue SET due_at = now() WHERE command_id = $1";
    fleet.client.execute(sql, &[&first.0]).await.unwrap();
    let mut connection = fleet.connection().await;
    let later = now + chrono::TimeDelta::hours(1);
    let claims = queue::claim(&mut connection, later, later, 10).await;
    assert_eq!(ids(&claims.unwrap()), [first]);
    put_off(&fleet).await;
    fleet.set_status(vehicle, "disconnected").await;
    let untouched = fleet.queued(first).await;
    fleet.set_status(vehicle, "connected").await;
    assert_eq!(fleet.queued(first).await, untouched);
}

#[tokio::test]
async fn what_is_due_already_stays_due_since_then() {
    let (fleet, vehicle, [first, _]) = waiting("disconnected").await;
    let sql = "UPDATE command_queue SET due_at = now() - INTERVAL '1 day' WHERE command_id = $1";
    fleet.client.execute(sql, &[&first.0]).await.unwrap();
    let untouched = fleet.queued(first).await;
    fleet.set_status(vehicle, "connected").await;
    assert_eq!(fleet.queued(first).await, untouched);
}

/// Only the first command of a queue is ever tried, so the others are in no pause that could end. A
/// vehicle that returns to 30,000 commands must not rewrite them.
#[tokio::test]
async fn does_not_rewrite_the_commands_behind_the_first() {
    let (fleet, vehicle, [first, second]) = waiting("disconnected").await;
    let (head, untouched) = (fleet.queued(first).await, fleet.queued(second).await);
    fleet.set_status(vehicle, "connected").await;
    assert_ne!(fleet.queued(first).await, head);
    assert_eq!(fleet.queued(second).await, untouched);
}

#[tokio::test]
async fn the_commands_of_other_vehicles_keep_waiting() {
    let (fleet, vehicle, _) = waiting("disconnected").await;
    let other = fleet.vehicle("VIN2").await;
    let third = fleet.submit(3, other).await;
    put_off(&fleet).await;
    let untouched = fleet.queued(third).await;
    fleet.set_status(vehicle, "connected").await;
    assert_eq!(fleet.queued(third).await, untouched);
}

#[tokio::test]
async fn a_vehicle_that_does_not_come_back_wakes_nobody() {
    for (before, after) in [
        ("disconnected", "error"),
        ("error", "disconnected"),
        ("disconnected", "disconnected"),
        ("connected", "connected"),
        ("connected", "disconnected"),
        ("connected", "error"),
    ] {
        let (fleet, vehicle, [first, _]) = waiting(before).await;
        let mut listener = fleet.pool.listen().await.unwrap();
        let untouched = fleet.queued(first).await;
        fleet.set_status(vehicle, after).await;
        assert_eq!(fleet.queued(first).await, untouched, "{before} to {after}");
        if before != after {
            let heard = in_time(listener.next()).await;
            assert_eq!(heard.unwrap(), Notification::Vehicle(vehicle));
        }
        assert!(
            heard_nothing(&fleet, &mut listener).await,
            "{before} to {after}"
        );
    }
}

#[tokio::test]
async fn a_vehicle_that_is_only_heard_of_wakes_nobody() {
    let (fleet, _, [first, _]) = waiting("connected").await;
    let mut listener = fleet.pool.listen().await.unwrap();
    let untouched = fleet.queued(first).await;
    let sql = "UPDATE vehicles SET last_seen_at = now()";
    fleet.client.batch_execute(sql).await.unwrap();
    assert_eq!(fleet.queued(first).await, untouched);
    assert!(heard_nothing(&fleet, &mut listener).await);
}

#[tokio::test]
async fn a_return_that_is_rolled_back_wakes_nobody() {
    let (fleet, _, [first, _]) = waiting("disconnected").await;
    let mut listener = fleet.pool.listen().await.unwrap();
    let untouched = fleet.queued(first).await;
    let sql = "BEGIN; UPDATE vehicles SET connection_status = 'connected'; ROLLBACK";
    fleet.client.batch_execute(sql).await.unwrap();
    assert_eq!(fleet.queued(first).await, untouched);
    assert!(heard_nothing(&fleet, &mut listener).await);
}
