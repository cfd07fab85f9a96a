use std::time::Duration;

use serde_json::{Value, json};
use sovd_devstack::{Redis, SearchPath};
use sovd_tests::{CONNECTED, Client, OFFLINE, Socket, World, within};
use tokio::time::timeout;

const EVENTS: &str = "/ws/events";

/// A world without a shared event bus: the seeds of all worlds have the same ids.
pub(crate) async fn own_bus() -> World {
    World::with(|settings| settings.redis.url = None).await
}

/// Opens a socket and waits until it receives events.
pub(crate) async fn listening(world: &World, client: &Client, path: &str) -> Socket {
    let mut socket = client.open_at(path).await;
    let sql = world.sql().await;
    let poke = "UPDATE vehicles SET connection_status =
                CASE connection_status WHEN 'error' THEN 'disconnected' ELSE 'error' END
                WHERE vehicle_id::text = '00000000-0000-0000-0000-000000000102'";
    within("the first event", async {
        loop {
            sql.execute(poke, &[]).await.unwrap();
            if timeout(Duration::from_millis(50), socket.next())
                .await
                .is_ok()
            {
                break;
            }
        }
    })
    .await;
    socket
}

/// Receives events up to the next one of a command.
pub(crate) async fn next_of_command(socket: &mut Socket) -> Value {
    loop {
        let event = socket.next().await.unwrap();
        if event["event"] == "command" {
            return event;
        }
    }
}

#[tokio::test]
async fn reports_changes_of_commands_and_vehicles() {
    let world = own_bus().await;
    let engineer = world.log_in("engineer").await;
    let mut socket = listening(&world, &engineer, EVENTS).await;
    let id = engineer.read_dtc().await;
    for status in ["pending", "in_progress", "completed"] {
        let event = next_of_command(&mut socket).await;
        assert_eq!(event["command_id"], id);
        assert_eq!(event["vehicle_id"], CONNECTED);
        assert_eq!(event["command_name"], "ReadDTC");
        assert_eq!(event["status"], status);
        assert_eq!(event["failure_kind"], Value::Null);
    }
    let sql = world.sql().await;
    let disconnect = format!(
        "UPDATE vehicles SET connection_status = 'disconnected' WHERE vehicle_id = '{CONNECTED}'"
    );
    sql.execute(&disconnect, &[]).await.unwrap();
    within("the vehicle", async {
        loop {
            let event = socket.next().await.unwrap();
            if event["event"] == "vehicle" && event["vehicle_id"] == CONNECTED {
                assert_eq!(event["connection_status"], "disconnected");
                return;
            }
        }
    })
    .await;
    world.stop();
    assert_eq!(socket.rest().await.1.code, 1001);
}

#[tokio::test]
async fn engineers_see_their_own_commands_and_admins_all() {
    let world = own_bus().await;
    let (engineer, other) = (world.log_in("engineer").await, world.log_in("other").await);
    let admin = world.log_in("admin").await;
    let mut own = listening(&world, &engineer, EVENTS).await;
    let mut all = listening(&world, &admin, EVENTS).await;
    let others = other.read_dtc().await;
    other.ended(&others).await;
    let mine = engineer.read_dtc().await;
    assert_eq!(next_of_command(&mut own).await["command_id"], mine);
    let seen = next_of_command(&mut all).await;
    assert_eq!(seen["command_id"], others);
}

#[tokio::test]
async fn filters_by_vehicle() {
    let world = own_bus().await;
    let engineer = world.log_in("engineer").await;
    let path = format!("{EVENTS}?vehicle_id={OFFLINE}");
    let mut socket = listening(&world, &engineer, &path).await;
    let other = engineer.read_dtc().await;
    engineer.ended(&other).await;
    let own = engineer.read_dtc_offline(60).await;
    let event = next_of_command(&mut socket).await;
    assert_eq!(event["command_id"], own);
    assert_eq!(event["status"], "pending");
}

#[tokio::test]
async fn closes_unauthenticated_and_invalid_requests() {
    let world = own_bus().await;
    let engineer = world.log_in("engineer").await;
    let unknown = "00000000-0000-0000-0000-00000000abcd";
    for (client, path, reason) in [
        (world.anonymous(), EVENTS.to_owned(), "not_authenticated"),
        (engineer.clone(), format!("{EVENTS}?vehicle_id=x"), "UUID"),
        (
            engineer,
            format!("{EVENTS}?vehicle_id={unknown}"),
            "not_found",
        ),
    ] {
        let (events, closing) = client.open_at(&path).await.rest().await;
        assert!(events.is_empty());
        assert_eq!(closing.code, 1008);
        assert!(closing.reason.contains(reason), "{}", closing.reason);
    }
}

#[tokio::test]
async fn sends_resync_after_an_outage_of_redis() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let world = World::with(|settings| {
        settings.redis.url = Some(sovd_app::settings::SecretUrl::new(redis.url()));
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let mut socket = listening(&world, &engineer, EVENTS).await;
    redis.stop().unwrap();
    let id = engineer.read_dtc().await;
    engineer.ended(&id).await;
    redis.start_again().unwrap();
    within("a resync", async {
        while socket.next().await.unwrap() != json!({ "event": "resync" }) {}
    })
    .await;
    let id = engineer.read_dtc().await;
    within("the next command", async {
        while next_of_command(&mut socket).await["command_id"] != id {}
    })
    .await;
}
