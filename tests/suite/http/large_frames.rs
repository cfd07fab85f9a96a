//! WebSocket frames that announce more than a client may send.

use sovd_tests::{World, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The largest payload that a client's frame may have, in bytes.
const LIMIT: u64 = 4096;

/// A socket after its handshake.
async fn open(world: &World, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let handshake = format!(
        "GET /ws/events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(handshake.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        within("the handshake", stream.read_exact(&mut byte))
            .await
            .unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    stream
}

/// The header of a masked binary frame; the mask is 0, so the payload stands as it is.
fn header(length: u64) -> Vec<u8> {
    let mut header = vec![0x82, 0xFF];
    header.extend(length.to_be_bytes());
    header.extend([0; 4]);
    header
}

/// The close code that the server sends next.
async fn close_code(stream: &mut TcpStream) -> u16 {
    let mut frame = [0; 4];
    within("a close frame", stream.read_exact(&mut frame))
        .await
        .unwrap();
    assert_eq!(frame[0], 0x88, "no close frame");
    u16::from_be_bytes([frame[2], frame[3]])
}

#[tokio::test]
async fn a_frame_above_the_limit_is_refused_by_the_length_it_announces() {
    let world = World::start().await;
    let token = world.log_in("customer").await.token.unwrap();
    for length in [LIMIT + 1, 1 << 40, u64::MAX >> 1] {
        let mut stream = open(&world, &token).await;
        // Nothing of the payload is sent.
        stream.write_all(&header(length)).await.unwrap();
        assert_eq!(close_code(&mut stream).await, 1009, "{length}");
    }
}

#[tokio::test]
async fn a_frame_at_the_limit_is_taken() {
    let world = World::start().await;
    let token = world.log_in("customer").await.token.unwrap();
    let mut stream = open(&world, &token).await;
    let mut frame = header(LIMIT);
    frame.resize(frame.len() + usize::try_from(LIMIT).unwrap(), 0);
    stream.write_all(&frame).await.unwrap();
    // A ping behind it is answered, so the frame has been taken.
    stream.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
    let mut pong = [0; 2];
    within("a pong", stream.read_exact(&mut pong))
        .await
        .unwrap();
    assert_eq!(pong, [0x8A, 0]);
}

#[tokio::test]
async fn a_client_that_goes_on_sending_a_refused_frame_is_disconnected() {
    let world = World::start().await;
    let token = world.log_in("customer").await.token.unwrap();
    let mut stream = open(&world, &token).await;
    stream.write_all(&header(1 << 40)).await.unwrap();
    let (mut from, mut to) = stream.split();
    let zeros = vec![0; 1024 * 1024];
    let sending = async { while to.write_all(&zeros).await.is_ok() {} };
    let reading = async {
        let mut frames = Vec::new();
        let _ = from.read_to_end(&mut frames).await;
    };
    within("the connection to end", async {
        tokio::join!(sending, reading)
    })
    .await;
}
