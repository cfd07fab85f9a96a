//! WebSocket frames that exceed the limit.

use sovd_tests::{RawHttp, World, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The largest payload of a client's frame in bytes.
const LIMIT: u64 = 4096;

/// Opens a WebSocket as a customer.
async fn open(world: &World) -> TcpStream {
    let token = world.log_in("customer").await.token.unwrap();
    RawHttp::open_websocket(world.address(), "/ws/events", &token)
        .await
        .0
}

/// Returns the header of a binary frame with a mask of zeros, which does not change the payload.
fn header(length: u64) -> Vec<u8> {
    let mut header = vec![0x82, 0xFF];
    header.extend(length.to_be_bytes());
    header.extend([0; 4]);
    header
}

/// Reads a close frame and returns its code.
async fn close_code(stream: &mut TcpStream) -> u16 {
    let mut frame = [0; 4];
    within("a close frame", stream.read_exact(&mut frame))
        .await
        .unwrap();
    assert_eq!(frame[0], 0x88, "not a close frame");
    u16::from_be_bytes([frame[2], frame[3]])
}

#[tokio::test]
async fn rejects_a_frame_by_its_announced_length() {
    let world = World::start().await;
    for length in [LIMIT + 1, 1 << 40, u64::MAX >> 1] {
        let mut stream = open(&world).await;
        // The payload is not sent.
        stream.write_all(&header(length)).await.unwrap();
        assert_eq!(close_code(&mut stream).await, 1009, "{length}");
    }
}

#[tokio::test]
async fn accepts_a_frame_at_the_limit() {
    let world = World::start().await;
    let mut stream = open(&world).await;
    let mut frame = header(LIMIT);
    frame.resize(frame.len() + usize::try_from(LIMIT).unwrap(), 0);
    stream.write_all(&frame).await.unwrap();
    // The ping after it is answered, so the frame was accepted.
    stream.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
    let mut pong = [0; 2];
    within("a pong", stream.read_exact(&mut pong))
        .await
        .unwrap();
    assert_eq!(pong, [0x8A, 0]);
}

#[tokio::test]
async fn disconnects_a_client_that_continues_a_rejected_frame() {
    let world = World::start().await;
    let mut stream = open(&world).await;
    stream.write_all(&header(1 << 40)).await.unwrap();
    let (mut from, mut to) = stream.split();
    let zeros = vec![0; 1024 * 1024];
    let writer = async { while to.write_all(&zeros).await.is_ok() {} };
    let reader = async {
        let mut frames = Vec::new();
        let _ = from.read_to_end(&mut frames).await;
    };
    within("the end of the connection", async {
        tokio::join!(writer, reader)
    })
    .await;
}
