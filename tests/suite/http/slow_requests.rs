use std::time::Duration;

use serde_json::Value;
use sovd_tests::{RawHttp, World, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{interval, timeout},
};

async fn connect(world: &World) -> RawHttp {
    RawHttp::connect(world.address()).await
}

/// Sends `head`, then one byte at a time until the server closes the connection. Returns its response.
async fn trickle(mut connection: RawHttp, head: &str, byte: u8) -> String {
    connection.send(head).await;
    let (mut from, mut to) = connection.0.into_split();
    let writer = tokio::spawn(async move {
        let mut ticks = interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            if to.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    });
    let mut response = Vec::new();
    let _ = within("the end of the connection", from.read_to_end(&mut response)).await;
    writer.abort();
    String::from_utf8(response).unwrap()
}

async fn assert_serves(world: &World) {
    world.anonymous().get("/health/live").await.expect(200);
}

async fn with_short_timeouts() -> World {
    World::with(|settings| {
        settings.server.request_head_seconds = 1;
        settings.server.request_body_seconds = 1;
    })
    .await
}

#[tokio::test]
async fn closes_a_connection_whose_head_does_not_end() {
    let world = with_short_timeouts().await;
    let head = "GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    let (trickled, silent, served) = tokio::join!(
        async { trickle(connect(&world).await, head, b'a').await },
        async { connect(&world).await.read_to_end().await },
        async {
            for _ in 0..10 {
                assert_serves(&world).await;
            }
        }
    );
    let () = served;
    for response in [trickled, silent] {
        assert!(
            response.is_empty() || response.contains(" 408 "),
            "{response}"
        );
        assert!(!response.contains("200 OK"), "{response}");
    }
    assert_serves(&world).await;
}

#[tokio::test]
async fn responds_with_408_to_a_trickling_body() {
    let world = with_short_timeouts().await;
    for (path, framing, first) in [
        ("/api/v1/auth/login", "Content-Length: 1000", "{"),
        (
            "/api/v1/auth/refresh",
            "Transfer-Encoding: chunked",
            "1\r\n{\r\n1000\r\n",
        ),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n\r\n\
             {first}"
        );
        let (response, ()) = tokio::join!(
            async { trickle(connect(&world).await, &head, b' ').await },
            assert_serves(&world)
        );
        let (head, body) = response.split_once("\r\n\r\n").unwrap_or_default();
        assert!(
            head.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
            "{response}"
        );
        let head = head.to_lowercase();
        assert!(head.contains("\r\nconnection: close"), "{head}");
        let problem: Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "request_timeout");
        assert_eq!(problem["detail"], "the body did not arrive within 1 s");
        assert_eq!(problem["instance"], path);
    }
}

#[tokio::test]
async fn an_unread_body_does_not_hold_the_connection() {
    let world = World::start().await;
    for (method, path, status) in [
        ("POST", "/api/v1/commands", 401),
        ("POST", "/nothing", 404),
        ("GET", "/health/live", 200),
        ("HEAD", "/health/live", 200),
    ] {
        for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 {framing}\r\n\r\n1000\r\n"
            );
            let response = trickle(connect(&world).await, &head, b' ').await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(
                response.starts_with(&expected),
                "{method} {path}: {response}"
            );
        }
    }
}

#[tokio::test]
async fn closes_an_idle_connection() {
    let world = World::with(|settings| settings.server.idle_seconds = 1).await;
    let mut connection = connect(&world).await;
    for _ in 0..2 {
        connection
            .send("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
    }
    let responses = connection.read_to_end().await;
    let count = responses.matches("HTTP/1.1 200 OK").count();
    assert_eq!(count, 2, "{responses}");
}

#[tokio::test]
async fn limits_the_connections_of_a_worker() {
    let world = World::with(|settings| settings.server.max_connections = 1).await;
    let request = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut first = connect(&world).await;
    first.send(request).await;
    within("a response", first.0.read_u8()).await.unwrap();

    // The operating system accepts the connection, so only waiting shows that the server does not.
    let mut second = connect(&world).await;
    second.send(request).await;
    let delay = Duration::from_millis(500);
    assert!(timeout(delay, second.0.read_u8()).await.is_err());

    drop(first);
    within("a response", second.0.read_u8()).await.unwrap();
}
