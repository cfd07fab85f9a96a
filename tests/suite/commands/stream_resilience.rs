//! Streams under load and during failures.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_devstack::{Redis, SearchPath};
use sovd_tests::{CONNECTED, Client, Socket, World, numbers};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::commands::{add_vehicles, assert_complete};

/// Starts a world with slow responses on a Redis that the test can break.
async fn slow_world(redis: &Redis) -> World {
    World::with(|settings| {
        settings.redis.url = Some(sovd_app::settings::SecretUrl::new(redis.url()));
        settings.connector.mock.chunks = 5;
        settings.connector.mock.min_delay_ms = 100;
        settings.connector.mock.max_delay_ms = 400;
        settings.dispatch.concurrency = 200;
        settings.streams.per_user = 1000;
    })
    .await
}

/// Submits a command for each of a hundred vehicles and follows it.
async fn follow_hundred(world: &World, client: &Client) -> Vec<Socket> {
    let vehicles = add_vehicles(&world.sql().await, "connected", 100).await;
    let followed = vehicles.iter().map(|vehicle| async move {
        let body = json!({
            "vehicle_id": vehicle, "command_name": "ReadDTC",
            "command_params": { "ecuAddress": "0x10" },
        });
        let command = client.post("/api/v1/commands", &body).await.expect(201);
        client.open(command["command_id"].as_str().unwrap()).await
    });
    join_all(followed).await
}

#[tokio::test]
async fn a_hundred_streams_survive_a_restart_of_redis() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let world = slow_world(&redis).await;
    let engineer = world.log_in("engineer").await;
    let mut sockets = follow_hundred(&world, &engineer).await;
    let mut first = Vec::new();
    let socket = &mut sockets[0];
    for _ in 0..2 {
        first.push(socket.next().await.unwrap());
    }
    redis.stop().unwrap();
    redis.start_again().unwrap();
    let mut all = join_all(sockets.into_iter().map(Socket::rest)).await;
    all[0].0.splice(0..0, first);
    for (events, closing) in all {
        assert_eq!(closing.code, 1000);
        assert_complete(&events, 1..=5);
    }
}

#[tokio::test]
async fn a_hundred_streams_survive_lost_subscriptions() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let world = slow_world(&redis).await;
    let engineer = world.log_in("engineer").await;
    let sockets = follow_hundred(&world, &engineer).await;
    let cut = async {
        let address = ("127.0.0.1", redis.port());
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = BufReader::new(stream);
        for _ in 0..5 {
            let kill = b"CLIENT KILL TYPE pubsub\r\n";
            stream.get_mut().write_all(kill).await.unwrap();
            let mut answer = String::new();
            stream.read_line(&mut answer).await.unwrap();
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    let streams = join_all(sockets.into_iter().map(Socket::rest));
    let ((), all) = tokio::join!(cut, streams);
    for (events, closing) in all {
        assert_eq!(closing.code, 1000);
        assert_complete(&events, 1..=5);
    }
}

#[tokio::test]
async fn streams_opened_at_any_time_and_position_deliver_the_same_tail() {
    const CHUNKS: i64 = 20;
    let world = World::with(|settings| {
        settings.connector.mock.chunks = 20;
        settings.connector.mock.min_delay_ms = 50;
        settings.connector.mock.max_delay_ms = 50;
        settings.streams.per_user = 10_000;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let open_at_all_positions = async || {
        let opened = (0..=CHUNKS + 1).map(|after| {
            let path = format!("/ws/responses/{id}?after={after}");
            let engineer = &engineer;
            async move { (after, engineer.open_at(&path).await) }
        });
        join_all(opened).await
    };
    let mut opened = open_at_all_positions().await;
    let mut leader = engineer.open(&id).await;
    while let Ok(event) = leader.next().await {
        if event["sequence_number"].is_number() {
            opened.extend(open_at_all_positions().await);
        }
    }
    opened.extend(open_at_all_positions().await);
    let rest = opened
        .into_iter()
        .map(|(after, socket)| async move { (after, socket.rest().await) });
    let mut tails: Vec<Option<Vec<Value>>> = vec![None; 22];
    for (after, (events, closing)) in join_all(rest).await {
        assert_eq!(closing.code, 1000, "after {after}");
        assert_eq!(
            numbers(&events),
            (after + 1..=CHUNKS).collect::<Vec<_>>(),
            "after {after}"
        );
        let position = usize::try_from(after).unwrap();
        let tail = tails[position].get_or_insert_with(|| events.clone());
        assert_eq!(*tail, events, "after {after}");
    }
}

#[tokio::test]
async fn a_stalled_client_delays_no_others_and_loses_nothing() {
    const RESPONSES: i64 = 200;
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc_offline(3600).await;
    let sql = world.sql().await;
    // 20 MB, far more than the socket buffers hold.
    let answer = format!(
        "INSERT INTO responses (command_id, response_payload, sequence_number, is_final)
         SELECT '{id}', jsonb_build_object('blob', repeat('x', 100000)), n, n = {RESPONSES}
         FROM generate_series(1, {RESPONSES}) n;
         UPDATE commands SET status = 'completed', started_at = now(), completed_at = now();
         DELETE FROM command_queue"
    );
    sql.batch_execute(&answer).await.unwrap();
    let stalled = engineer.open(&id).await;
    for _ in 0..3 {
        let (events, closing) = engineer.watch(&id).await;
        assert_eq!(closing.code, 1000);
        assert_eq!(numbers(&events).len(), 200);
    }
    assert_eq!(
        engineer.ended(&engineer.read_dtc().await).await["vehicle_id"],
        CONNECTED
    );
    let (events, closing) = stalled.rest().await;
    assert_eq!(closing.code, 1000);
    assert_eq!(numbers(&events), (1..=RESPONSES).collect::<Vec<_>>());
}
