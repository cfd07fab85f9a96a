use serde_json::Value;
use sovd_tests::{Client, Socket, World};
use tokio_tungstenite::tungstenite::Message;

use crate::commands::{assert_complete, connect_vehicles};

const CHUNKS: i64 = 20;

async fn many_chunks() -> World {
    World::with(|settings| settings.connector.mock.chunks = 20).await
}

async fn watch_after(client: &Client, id: &str, after: i64) -> Vec<Value> {
    let socket = client
        .open_at(&format!("/ws/responses/{id}?after={after}"))
        .await;
    let (events, closing) = socket.rest().await;
    assert_eq!(closing.code, 1000);
    events
}

#[tokio::test]
async fn clients_receive_the_same_tail_at_any_time() {
    let world = many_chunks().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let during =
        futures_util::future::join_all((0..=21).map(|after| watch_after(&engineer, &id, after)))
            .await;
    for (after, events) in (0..).zip(&during) {
        assert_complete(events, after.min(CHUNKS) + 1..=CHUNKS);
    }
    for after in 0..=21 {
        let events = watch_after(&engineer, &id, after).await;
        assert_complete(&events, after.min(CHUNKS) + 1..=CHUNKS);
    }
}

#[tokio::test]
async fn a_client_may_connect_before_the_command_starts() {
    let world = many_chunks().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc_offline(3600).await;
    let socket = engineer.open(&id).await;
    connect_vehicles(&world).await;
    let (events, closing) = socket.rest().await;
    assert_eq!(events[0]["status"], "in_progress");
    assert_complete(&events, 1..=CHUNKS);
    assert_eq!(closing.code, 1000);
}

#[tokio::test]
async fn many_clients_of_one_command_receive_all_events() {
    let world = many_chunks().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let watchers = (0..50).map(|_| engineer.watch(&id));
    for (events, closing) in futures_util::future::join_all(watchers).await {
        assert_complete(&events, 1..=CHUNKS);
        assert_eq!(closing.code, 1000);
    }
}

#[tokio::test]
async fn accepts_the_token_in_three_ways() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let token = engineer.token.clone().unwrap();
    let path = format!("/ws/responses/{id}");

    engineer.open(&id).await.next().await.unwrap();
    let both = format!("sovd.events.v1, bearer.{token}");
    let mut socket = Socket::offering(world.address(), &path, &both).await;
    assert_eq!(socket.headers["sec-websocket-protocol"], "sovd.events.v1");
    socket.next().await.unwrap();
    let alone = format!("bearer.{token}");
    let mut socket = Socket::offering(world.address(), &path, &alone).await;
    assert_eq!(socket.headers["sec-websocket-protocol"], alone.as_str());
    socket.next().await.unwrap();
    let mut socket = world
        .anonymous()
        .open_at(&format!("{path}?token={token}"))
        .await;
    socket.next().await.unwrap();
}

#[tokio::test]
async fn unauthorized_and_invalid_requests_are_closed_with_a_reason() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let other = world.log_in("other").await;
    let id = engineer.read_dtc().await;
    let path = format!("/ws/responses/{id}");
    let unknown = "/ws/responses/00000000-0000-0000-0000-00000000ffff";
    for (client, path, reason) in [
        (world.anonymous(), path.clone(), "not_authenticated"),
        (
            world.anonymous(),
            format!("{path}?token=x"),
            "token_invalid",
        ),
        (other, path.clone(), "not_found"),
        (engineer.clone(), unknown.to_owned(), "not_found"),
        (engineer.clone(), "/ws/responses/7".to_owned(), "command_id"),
        (engineer.clone(), format!("{path}?after=-1"), "after"),
        (engineer.clone(), format!("{path}?after=x"), "after"),
    ] {
        let (events, closing) = client.open_at(&path).await.rest().await;
        assert!(events.is_empty(), "{path}");
        assert_eq!(closing.code, 1008, "{path}: {closing:?}");
        assert!(closing.reason.contains(reason), "{path}: {closing:?}");
    }
}

#[tokio::test]
async fn a_request_without_handshake_gets_a_problem() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    engineer
        .get(&format!("/ws/responses/{id}"))
        .await
        .expect_problem(400, "malformed_request");
}

#[tokio::test]
async fn pings_the_client_and_answers_its_pings() {
    let world = World::with(|settings| {
        settings.connector.mock.hang = true;
        settings.streams.ping_seconds = 1;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut socket = engineer.open(&id).await;
    socket.send(Message::Ping("hello".into())).await;
    let mut pinged = false;
    let mut answered = false;
    while !(pinged && answered) {
        match socket.frame().await {
            Some(Message::Ping(_)) => pinged = true,
            Some(Message::Pong(bytes)) => answered = bytes == "hello",
            Some(_) => {}
            None => panic!("the stream ended"),
        }
    }
}

#[tokio::test]
async fn a_client_that_sends_a_large_frame_is_disconnected() {
    let world = World::with(|settings| settings.connector.mock.hang = true).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut socket = engineer.open(&id).await;
    socket.next().await.unwrap();
    socket.send(Message::Text("hello".into())).await;
    socket.send(Message::Text("x".repeat(4_097).into())).await;
    let (events, closing) = socket.rest().await;
    assert!(events.is_empty());
    assert_eq!(closing.code, 1009, "{closing:?}");
}

#[tokio::test]
async fn one_process_runs_without_redis() {
    let world = World::with(|settings| {
        settings.redis.url = None;
        settings.connector.mock.chunks = 20;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let (events, closing) = engineer.watch(&id).await;
    assert_complete(&events, 1..=CHUNKS);
    assert_eq!(closing.code, 1000);
}

#[tokio::test]
async fn an_unpublished_event_reaches_a_client_that_sends_pings() {
    let world = World::with(|settings| {
        settings.redis.url = None;
        settings.dispatch.enabled = false;
        settings.streams.ping_seconds = 1;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut socket = engineer.open(&id).await;
    // As if a process had crashed between the commit and the publication.
    let sql = world.sql().await;
    sql.execute(
        "UPDATE commands SET status = 'failed', failure_kind = 'internal', completed_at = now()",
        &[],
    )
    .await
    .unwrap();
    let event = sovd_tests::within("the terminal event", async {
        loop {
            socket.send(Message::Ping("x".into())).await;
            if let Some(Message::Text(text)) = socket.frame().await {
                return serde_json::from_str::<Value>(&text).unwrap();
            }
        }
    })
    .await;
    assert_eq!(event["failure_kind"], "internal");
}
