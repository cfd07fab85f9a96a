use std::time::Duration;

use serde_json::Value;
use sovd_tests::{World, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.address()).await.unwrap()
}

/// What the server says until it ends the connection.
async fn last_words(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    // A reset ends a connection as well as a goodbye.
    let _ = within("the end", stream.read_to_end(&mut said)).await;
    String::from_utf8(said).unwrap()
}

/// Sends `head`, then a byte now and then for as long as the server listens.
async fn trickle(mut stream: TcpStream, head: &str, byte: u8) -> String {
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let dripping = tokio::spawn(async move {
        let mut drops = interval(Duration::from_millis(100));
        loop {
            drops.tick().await;
            if to.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    });
    let mut said = Vec::new();
    let _ = within("the end", from.read_to_end(&mut said)).await;
    dripping.abort();
    String::from_utf8(said).unwrap()
}

async fn assert_serves(world: &World) {
    world.stranger().get("/health/live").await.expect(200);
}

async fn impatient() -> World {
    World::with(|settings| {
        settings.server.request_head_seconds = 1;
        settings.server.request_body_seconds = 1;
    })
    .await
}

#[tokio::test]
async fn a_request_whose_head_does_not_end_is_cut_off() {
    let world = impatient().await;
    let head = "GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    let (trickled, silent, served) = tokio::join!(
        async { trickle(connect(&world).await, head, b'a').await },
        async { last_words(connect(&world).await).await },
        async {
            for _ in 0..10 {
                assert_serves(&world).await;
            }
        }
    );
    let () = served;
    for said in [trickled, silent] {
        assert!(said.is_empty() || said.contains(" 408 "), "{said}");
        assert!(!said.contains("200 OK"), "{said}");
    }
    assert_serves(&world).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_told_so_and_cut_off() {
    let world = impatient().await;
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
        let (said, ()) = tokio::join!(
            async { trickle(connect(&world).await, &head, b' ').await },
            assert_serves(&world)
        );
        let (answer, body) = said.split_once("\r\n\r\n").unwrap_or_default();
        assert!(
            answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
            "{said}"
        );
        let answer = answer.to_lowercase();
        assert!(answer.contains("\r\nconnection: close"), "{answer}");
        let problem: Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "request_timeout");
        assert_eq!(problem["detail"], "the body did not arrive within 1 s");
        assert_eq!(problem["instance"], path);
    }
}

#[tokio::test]
async fn a_body_that_nobody_wants_holds_no_connection() {
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
            let said = trickle(connect(&world).await, &head, b' ').await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(said.starts_with(&expected), "{method} {path}: {said}");
        }
    }
}

#[tokio::test]
async fn a_connection_without_a_further_request_is_closed() {
    let world = World::with(|settings| settings.server.idle_seconds = 1).await;
    let mut stream = connect(&world).await;
    for _ in 0..2 {
        let request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).await.unwrap();
    }
    let said = last_words(stream).await;
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
}

#[tokio::test]
async fn a_worker_takes_no_more_connections_than_it_may() {
    let world = World::with(|settings| settings.server.max_connections = 1).await;
    let request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut held = connect(&world).await;
    held.write_all(request).await.unwrap();
    let mut byte = [0];
    within("an answer", held.read_exact(&mut byte))
        .await
        .unwrap();

    // The system lets it connect; that nobody answers shows only by waiting.
    let mut next = connect(&world).await;
    next.write_all(request).await.unwrap();
    let patience = Duration::from_millis(500);
    assert!(timeout(patience, next.read_exact(&mut byte)).await.is_err());

    drop(held);
    within("an answer", next.read_exact(&mut byte))
        .await
        .unwrap();
}
