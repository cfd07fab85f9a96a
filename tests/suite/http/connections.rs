//! Limits of one connection, and of the connections of one address.

use std::time::Duration;

use sovd_tests::{RawHttp, World, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

const REQUEST: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";

/// The largest file of the server, over 1 MiB.
const LARGE: &str = "/docs/swagger-ui-bundle.js";

async fn connect(world: &World) -> TcpStream {
    RawHttp::connect(world.address()).await.0
}

async fn connect_from(address: [u8; 4], world: &World) -> TcpStream {
    RawHttp::connect_from(address, world.address()).await.0
}

/// Sends one request and reads its response; `false` if the server closes the connection instead.
async fn is_served(stream: &mut TcpStream) -> bool {
    // Writing to a closed connection may succeed or fail.
    let _ = stream.write_all(REQUEST).await;
    let mut response = Vec::new();
    while !response.ends_with(b"}") {
        let mut bytes = [0; 512];
        match within("a response", stream.read(&mut bytes)).await {
            Ok(count) if count > 0 => response.extend(&bytes[..count]),
            Ok(_) | Err(_) => return false,
        }
    }
    assert!(response.starts_with(b"HTTP/1.1 200 OK"));
    true
}

/// Waits until the server closes a connection.
async fn wait_until_closed(stream: &mut TcpStream) {
    let mut bytes = vec![0; 64 * 1024];
    let closed = async { while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {} };
    within("the server to close the connection", closed).await;
}

#[tokio::test]
async fn closes_a_connection_whose_second_head_does_not_end() {
    let world = World::with(|settings| settings.server.request_head_seconds = 1).await;
    let (mut silent, mut trickling) = (connect(&world).await, connect(&world).await);
    for stream in [&mut silent, &mut trickling] {
        assert!(is_served(stream).await);
        stream
            .write_all(&REQUEST[..REQUEST.len() / 2])
            .await
            .unwrap();
    }
    let (mut from, mut to) = trickling.into_split();
    let trickle = async {
        while to.write_all(b"a").await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::join!(
        wait_until_closed(&mut silent),
        within("the server to close the connection", trickle)
    );
    drop(from.read(&mut [0]).await);
}

#[tokio::test]
async fn serves_requests_despite_incomplete_heads() {
    let world = World::with(|settings| {
        settings.server.request_head_seconds = 1;
        settings.server.max_connections = 4;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&world).await;
        assert!(is_served(&mut stream).await);
        stream.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
        held.push(stream);
    }
    assert!(is_served(&mut connect(&world).await).await);
}

#[tokio::test]
async fn serves_a_slow_second_request_that_arrives_in_time() {
    let world = World::with(|settings| settings.server.request_head_seconds = 5).await;
    let mut stream = connect(&world).await;
    for _ in 0..3 {
        let (first, last) = REQUEST.split_at(REQUEST.len() / 2);
        stream.write_all(first).await.unwrap();
        stream.flush().await.unwrap();
        sleep(Duration::from_millis(50)).await;
        stream.write_all(last).await.unwrap();
        let mut byte = [0];
        within("a response", stream.read_exact(&mut byte))
            .await
            .unwrap();
        let mut rest = vec![byte[0]];
        while !rest.ends_with(b"}") {
            within("a response", stream.read_exact(&mut byte))
                .await
                .unwrap();
            rest.push(byte[0]);
        }
    }
}

#[tokio::test]
async fn closes_a_connection_that_does_not_read_its_responses() {
    let world = World::with(|settings| settings.server.response_write_seconds = 1).await;
    let mut stream = connect(&world).await;
    let request = format!("GET {LARGE} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream
        .write_all(request.repeat(16).as_bytes())
        .await
        .unwrap();
    // The server resets the connection because it has unread bytes, so the next write fails.
    let closed = async {
        while stream.write_all(b"GET").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    within("the server to close the connection", closed).await;
    assert!(is_served(&mut connect(&world).await).await);
}

#[tokio::test]
async fn sends_the_whole_response_to_a_slow_reader() {
    let world = World::with(|settings| settings.server.response_write_seconds = 2).await;
    let mut stream = connect(&world).await;
    let request = format!("GET {LARGE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut response, mut bytes) = (Vec::new(), vec![0; 256 * 1024]);
    loop {
        let count = within("bytes", stream.read(&mut bytes)).await.unwrap();
        if count == 0 {
            break;
        }
        response.extend(&bytes[..count]);
        sleep(Duration::from_millis(100)).await;
    }
    let head_end = response.windows(4).position(|end| end == b"\r\n\r\n");
    let (head, body) = response.split_at(head_end.unwrap() + 4);
    let head = std::str::from_utf8(head).unwrap().to_lowercase();
    assert!(
        head.contains(&format!("content-length: {}\r\n", body.len())),
        "{head}"
    );
}

#[tokio::test]
async fn answers_all_pipelined_requests() {
    let world = World::start().await;
    let mut stream = connect(&world).await;
    // Far more than the server reads ahead of a response.
    let count = 2_000;
    let last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let requests = [&REQUEST.repeat(count - 1), &last[..]].concat();
    let (mut from, mut to) = stream.split();
    let mut responses = String::new();
    let (sent, received) = within("the responses", async {
        tokio::join!(to.write_all(&requests), from.read_to_string(&mut responses))
    })
    .await;
    sent.unwrap();
    received.unwrap();
    assert_eq!(responses.matches("HTTP/1.1 200 OK").count(), count);
}

#[tokio::test]
async fn limits_the_connections_of_an_address() {
    let world = World::with(|settings| settings.server.connections_per_address = 2).await;
    let (mut first, mut second) = (connect(&world).await, connect(&world).await);
    assert!(is_served(&mut first).await && is_served(&mut second).await);

    assert!(!is_served(&mut connect(&world).await).await);
    assert!(is_served(&mut connect_from([127, 0, 0, 2], &world).await).await);

    drop(first);
    let freed = async { while !is_served(&mut connect(&world).await).await {} };
    within("a connection to be free", freed).await;
}

#[tokio::test]
async fn does_not_limit_a_trusted_proxy() {
    let world = World::with(|settings| {
        settings.server.connections_per_address = 1;
        settings.server.trusted_proxies = vec!["127.0.0.2".to_owned()];
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_from([127, 0, 0, 2], &world).await;
        assert!(is_served(&mut stream).await);
        open.push(stream);
    }
}

#[tokio::test]
async fn responds_with_400_if_the_first_chunk_is_malformed() {
    let world = World::start().await;
    let token = world.log_in("engineer").await.token.unwrap();
    for (path, at_once) in [
        ("/api/v1/auth/login", true),
        ("/api/v1/auth/login", false),
        ("/api/v1/commands", true),
        ("/api/v1/commands", false),
    ] {
        let mut stream = connect(&world).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        if at_once {
            let request = format!("{head}ZZ\r\n{{}}\r\n0\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
        } else {
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            sleep(Duration::from_millis(50)).await;
            stream.write_all(b"ZZ\r\n{}\r\n0\r\n\r\n").await.unwrap();
        }
        let response = RawHttp(stream).read_to_end().await;
        assert!(
            response.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{path} at once: {at_once}: {response:?}"
        );
        assert!(response.contains("\"malformed_request\""), "{response:?}");
        assert_eq!(response.matches("HTTP/1.1").count(), 1, "{response:?}");
    }
}
