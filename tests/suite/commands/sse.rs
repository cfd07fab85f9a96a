use reqwest::Method;
use serde_json::{Value, json};
use sovd_tests::{Block, Client, EventSource, World, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::commands::{assert_complete, connect_vehicles};

const CHUNKS: i64 = 5;

async fn five_chunks() -> World {
    World::with(|settings| settings.connector.mock.chunks = 5).await
}

async fn listen(client: &Client, id: &str) -> EventSource {
    client.listen(id, None).await.unwrap()
}

#[tokio::test]
async fn delivers_all_events_to_early_and_late_clients() {
    let world = five_chunks().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc_offline(3600).await;
    let before = listen(&engineer, &id).await;
    connect_vehicles(&world).await;
    let before = before.rest().await;
    assert_eq!(before[0]["status"], "in_progress");
    assert_complete(&before, 1..=CHUNKS);

    let after = listen(&engineer, &id).await.rest().await;
    assert_complete(&after, 1..=CHUNKS);
    let (from_websocket, _) = engineer.watch(&id).await;
    assert_eq!(after, from_websocket);
}

#[tokio::test]
async fn delivers_all_events_to_a_client_that_connects_midway() {
    let world = World::with(|settings| {
        settings.connector.mock.chunks = 5;
        settings.connector.mock.min_delay_ms = 50;
        settings.connector.mock.max_delay_ms = 50;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut first = listen(&engineer, &id).await;
    while first.next().await.unwrap()["sequence_number"] != 2 {}
    let all = listen(&engineer, &id).await.rest().await;
    assert_complete(&all, 1..=CHUNKS);
    assert_complete(&first.rest().await, 3..=CHUNKS);
}

#[tokio::test]
async fn resumes_after_the_last_event_id() {
    let world = five_chunks().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    engineer.ended(&id).await;
    for after in 0..=6 {
        let resumed = engineer.listen(&id, Some(&after.to_string())).await;
        let events = resumed.unwrap().rest().await;
        assert_complete(&events, after.min(CHUNKS) + 1..=CHUNKS);
        let by_query = format!("{id}/events?after={after}");
        let by_query = engineer.request(Method::GET, &format!("/api/v1/commands/{by_query}"));
        let body = by_query.send().await.unwrap().text().await.unwrap();
        let data = body.lines().filter(|line| line.starts_with("data: "));
        assert_eq!(data.count(), events.len(), "{body}");
    }
    // The header takes precedence: a browser reconnects with the original URL.
    let both = engineer
        .request(
            Method::GET,
            &format!("/api/v1/commands/{id}/events?after=1"),
        )
        .header("Last-Event-ID", "4");
    let body = both.send().await.unwrap().text().await.unwrap();
    assert!(
        body.contains("id: 5\n") && !body.contains("id: 4\n"),
        "{body}"
    );
}

#[tokio::test]
async fn rejects_an_invalid_after_despite_a_valid_header() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let path = format!("/api/v1/commands/{id}/events?after=-1");
    let request = engineer.request(Method::GET, &path);
    let reply = engineer.send(request.header("Last-Event-ID", "0")).await;
    reply.expect_bad_field(422, "validation_failed", "/after");
}

#[tokio::test]
async fn conforms_to_the_event_source_protocol() {
    let world = five_chunks().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut stream = listen(&engineer, &id).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["cache-control"], "no-store");
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
    assert_eq!(stream.block().await, Some(Block::Retry(1000)));
    while let Some(block) = stream.block().await {
        let Block::Event { id, data } = block else {
            panic!("{block:?}");
        };
        assert_eq!(id, data["sequence_number"].as_i64(), "{data}");
    }
}

#[tokio::test]
async fn sends_keep_alive_comments() {
    let world = World::with(|settings| {
        settings.connector.mock.hang = true;
        settings.streams.keep_alive_seconds = 1;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut stream = listen(&engineer, &id).await;
    for _ in 0..2 {
        while stream.block().await.unwrap() != Block::Comment {}
    }
    // Events still arrive afterwards.
    let path = format!("/api/v1/commands/{id}/cancel");
    engineer.post(&path, &json!(null)).await.expect(200);
    let events = stream.rest().await;
    assert_eq!(events.last().unwrap()["failure_kind"], "cancelled");
}

#[tokio::test]
async fn ends_without_a_terminal_event_when_the_server_stops() {
    let world = World::with(|settings| settings.connector.mock.hang = true).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut stream = listen(&engineer, &id).await;
    assert_eq!(stream.next().await.unwrap()["status"], "in_progress");
    world.stop();
    assert_eq!(stream.rest().await, Vec::<Value>::new());
    world.stopped().await.unwrap();
}

#[tokio::test]
async fn unauthorized_and_invalid_requests_get_a_problem() {
    let world = five_chunks().await;
    let engineer = world.log_in("engineer").await;
    let other = world.log_in("other").await;
    let id = engineer.read_dtc().await;
    let refused = async |client: &Client, id: &str, header| {
        let response = client.listen(id, header).await;
        response.err().expect("a refusal")
    };
    let unknown = "00000000-0000-0000-0000-00000000ffff";
    refused(&other, &id, None)
        .await
        .expect_problem(404, "not_found");
    refused(&engineer, unknown, None)
        .await
        .expect_problem(404, "not_found");
    refused(&engineer, "7", None)
        .await
        .expect_problem(400, "malformed_request");
    refused(&world.anonymous(), &id, None)
        .await
        .expect_problem(401, "not_authenticated");
    for bad in ["-1", "x", "", "1.5", "2147483648"] {
        let problem = refused(&engineer, &id, Some(bad))
            .await
            .expect_problem(400, "malformed_request");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("Last-Event-ID"), "{detail}");
    }
    let path = format!("/api/v1/commands/{id}/events");
    let twice = engineer
        .request(Method::GET, &path)
        .header("Last-Event-ID", "1")
        .header("Last-Event-ID", "2");
    engineer
        .send(twice)
        .await
        .expect_problem(400, "malformed_request");
    for (query, status, code) in [
        ("after=x", 400, "malformed_request"),
        ("afterr=1", 400, "malformed_request"),
        ("after=-1", 422, "validation_failed"),
    ] {
        let reply = engineer.get(&format!("{path}?{query}")).await;
        reply.expect_problem(status, code);
    }
    // The bounds are accepted.
    for good in ["0", "2147483647"] {
        engineer.listen(&id, Some(good)).await.unwrap();
    }
}

#[tokio::test]
async fn a_head_request_returns_at_once() {
    let world = World::with(|settings| {
        settings.connector.mock.hang = true;
        settings.streams.per_user = 1;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let token = engineer.token.as_ref().unwrap();
    let request = format!(
        "HEAD /api/v1/commands/{id}/events HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    let live = "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut connection = TcpStream::connect(world.address()).await.unwrap();
    connection
        .write_all(format!("{request}{live}").as_bytes())
        .await
        .unwrap();
    let mut responses = String::new();
    within("both responses", connection.read_to_string(&mut responses))
        .await
        .unwrap();
    assert_eq!(responses.matches("HTTP/1.1 200").count(), 2, "{responses}");
    assert!(responses.contains("text/event-stream"), "{responses}");
    assert!(!responses.contains("retry:"), "{responses}");
}
