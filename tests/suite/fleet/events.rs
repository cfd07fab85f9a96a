use serde_json::{Value, json};
use sovd_devstack::{Redis, SearchPath};
use sovd_tests::{CONNECTED, Client, OFFLINE, Socket, World, within};

const EVENTS: &str = "/ws/events";

/// A world whose news no other world hears: all seeds have the same ids.
pub(crate) async fn own_bus() -> World {
    World::with(|settings| settings.redis.url = None).await
}

/// A socket that certainly hears what happens from now on.
pub(crate) async fn listening(world: &World, client: &Client, path: &str) -> Socket {
    let mut socket = client.open_at(path).await;
    let sql = world.sql().await;
    let poke = "UPDATE vehicles SET connection_status =
                CASE connection_status WHEN 'error' THEN 'disconnected' ELSE 'error' END
                WHERE vehicle_id::text = '00000000-0000-0000-0000-000000000102'";
    within("the socket to hear", async {
        let mut heard = tokio::time::timeout(std::time::Duration::ZERO, socket.next()).await;
        while heard.is_err() {
            sql.execute(poke, &[]).await.unwrap();
            let patience = std::time::Duration::from_millis(50);
            heard = tokio::time::timeout(patience, socket.next()).await;
        }
    })
    .await;
    socket
}

/// The next piece of news about a command.
pub(crate) async fn next_of_command(socket: &mut Socket) -> Value {
    loop {
        let news = socket.next().await.unwrap();
        if news["event"] == "command" {
            return news;
        }
    }
}

#[tokio::test]
async fn a_dashboard_sees_commands_and_vehicles_change() {
    let world = own_bus().await;
    let engineer = world.log_in("engineer").await;
    let mut socket = listening(&world, &engineer, EVENTS).await;
    let id = engineer.read_dtc().await;
    for status in ["pending", "in_progress", "completed"] {
        let news = next_of_command(&mut socket).await;
        assert_eq!(news["command_id"], id);
        assert_eq!(news["vehicle_id"], CONNECTED);
        assert_eq!(news["command_name"], "ReadDTC");
        assert_eq!(news["status"], status);
        assert_eq!(news["failure_kind"], Value::Null);
    }
    let sql = world.sql().await;
    let away = format!(
        "UPDATE vehicles SET connection_status = 'disconnected' WHERE vehicle_id = '{CONNECTED}'"
    );
    sql.execute(&away, &[]).await.unwrap();
    within("the vehicle", async {
        loop {
            let news = socket.next().await.unwrap();
            if news["event"] == "vehicle" && news["vehicle_id"] == CONNECTED {
                assert_eq!(news["connection_status"], "disconnected");
                return;
            }
        }
    })
    .await;
    world.stop();
    assert_eq!(socket.rest().await.1.code, 1001);
}

#[tokio::test]
async fn an_engineer_sees_the_own_commands_and_an_admin_all() {
    let world = own_bus().await;
    let (engineer, other) = (world.log_in("engineer").await, world.log_in("other").await);
    let admin = world.log_in("admin").await;
    let mut own = listening(&world, &engineer, EVENTS).await;
    let mut all = listening(&world, &admin, EVENTS).await;
    let foreign = other.read_dtc().await;
    other.ended(&foreign).await;
    let mine = engineer.read_dtc().await;
    assert_eq!(next_of_command(&mut own).await["command_id"], mine);
    let seen = next_of_command(&mut all).await;
    assert_eq!(seen["command_id"], foreign);
}

#[tokio::test]
async fn one_vehicle_s_news_are_that_vehicle_s_only() {
    let world = own_bus().await;
    let engineer = world.log_in("engineer").await;
    let path = format!("{EVENTS}?vehicle_id={OFFLINE}");
    let mut socket = listening(&world, &engineer, &path).await;
    let other = engineer.read_dtc().await;
    engineer.ended(&other).await;
    let own = engineer.read_dtc_later(60).await;
    let news = next_of_command(&mut socket).await;
    assert_eq!(news["command_id"], own);
    assert_eq!(news["status"], "pending");
}

#[tokio::test]
async fn strangers_and_bad_questions_are_turned_away() {
    let world = own_bus().await;
    let engineer = world.log_in("engineer").await;
    let nobody = "00000000-0000-0000-0000-00000000abcd";
    for (client, path, reason) in [
        (world.stranger(), EVENTS.to_owned(), "not_authenticated"),
        (engineer.clone(), format!("{EVENTS}?vehicle_id=x"), "UUID"),
        (
            engineer,
            format!("{EVENTS}?vehicle_id={nobody}"),
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
async fn after_a_gap_everything_is_to_be_fetched_again() {
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
