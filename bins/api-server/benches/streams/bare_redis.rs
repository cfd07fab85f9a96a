use futures_util::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    FANOUT_SOCKETS, OPENING,
    socket::{Delivery, Seen, total},
};

/// Measures what Redis delivers to plain subscribers of one channel if `ahead` messages are published before
/// waiting for a response.
pub(crate) async fn bare_redis(url: &str, messages: usize, size: usize, ahead: usize) -> Delivery {
    let (address, _) = url
        .strip_prefix("redis://")
        .and_then(|rest| rest.split_once('/'))
        .unwrap();
    let channel = format!("bench-{}", std::process::id());
    let content = "x".repeat(size);
    let publish = command(&["PUBLISH", &channel, &content]);
    // Subscribers receive the same message with a different first word.
    let delivered = command(&["message", &channel, &content]).len();
    let readers = stream::iter(0..FANOUT_SOCKETS)
        .map(|_| subscribe(address, &channel))
        .buffer_unordered(OPENING)
        .map(|subscriber| tokio::spawn(count(subscriber, messages, delivered)))
        .collect()
        .await;

    let mut publisher = TcpStream::connect(address).await.unwrap();
    publisher.set_nodelay(true).unwrap();
    let response = format!(":{FANOUT_SOCKETS}\r\n");
    let mut left = messages;
    while left > 0 {
        let batch = left.min(ahead);
        let mut responses = vec![0; response.len() * batch];
        let (mut reader, mut writer) = publisher.split();
        let requests = publish.repeat(batch);
        let (written, read) = tokio::join!(
            writer.write_all(requests.as_bytes()),
            reader.read_exact(&mut responses)
        );
        written.unwrap();
        read.unwrap();
        assert!(responses.starts_with(response.as_bytes()));
        left -= batch;
    }
    total(readers).await
}

/// Encodes a command in the Redis protocol.
pub(crate) fn command(words: &[&str]) -> String {
    words
        .iter()
        .fold(format!("*{}\r\n", words.len()), |command, word| {
            format!("{command}${}\r\n{word}\r\n", word.len())
        })
}

pub(crate) async fn subscribe(address: &str, channel: &str) -> TcpStream {
    let mut subscriber = TcpStream::connect(address).await.unwrap();
    let request = command(&["SUBSCRIBE", channel]);
    subscriber.write_all(request.as_bytes()).await.unwrap();
    // The response repeats the command, and ends with the number of channels.
    let mut response = vec![0; request.replacen("*2", "*3", 1).len() + ":1\r\n".len()];
    subscriber.read_exact(&mut response).await.unwrap();
    assert!(response.ends_with(b":1\r\n"));
    subscriber
}

pub(crate) async fn count(mut subscriber: TcpStream, messages: usize, length: usize) -> Seen {
    let mut seen = Seen::default();
    let (mut received, mut over) = (Vec::new(), 0);
    while seen.messages < messages {
        received.clear();
        let read = subscriber.read_buf(&mut received).await.unwrap();
        assert_ne!(read, 0, "redis disconnected a subscriber");
        over += read;
        if over >= length {
            seen.count(over / length, over / length * length);
            over %= length;
        }
    }
    seen
}
