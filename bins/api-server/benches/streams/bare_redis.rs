use futures_util::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    FANOUT_SOCKETS, OPENING,
    socket::{Delivery, Seen, total},
};

/// What Redis delivers to bare subscribers of one channel, when `ahead` messages are published
/// before an answer is awaited.
pub(crate) async fn bare_redis(url: &str, messages: usize, size: usize, ahead: usize) -> Delivery {
    let (address, _) = url
        .strip_prefix("redis://")
        .and_then(|rest| rest.split_once('/'))
        .unwrap();
    let channel = format!("bench-{}", std::process::id());
    let content = "x".repeat(size);
    let publish = command(&["PUBLISH", &channel, &content]);
    // Each subscriber is told the same, but for the first word in place of the command.
    let delivered = command(&["message", &channel, &content]).len();
    let readers = stream::iter(0..FANOUT_SOCKETS)
        .map(|_| subscribe(address, &channel))
        .buffer_unordered(OPENING)
        .map(|subscriber| tokio::spawn(count(subscriber, messages, delivered)))
        .collect()
        .await;

    let mut publisher = TcpStream::connect(address).await.unwrap();
    publisher.set_nodelay(true).unwrap();
    let answer = format!(":{FANOUT_SOCKETS}\r\n");
    let mut left = messages;
    while left > 0 {
        let batch = left.min(ahead);
        let mut answers = vec![0; answer.len() * batch];
        let (mut reading, mut writing) = publisher.split();
        let requests = publish.repeat(batch);
        let (written, read) = tokio::join!(
            writing.write_all(requests.as_bytes()),
            reading.read_exact(&mut answers)
        );
        written.unwrap();
        read.unwrap();
        assert!(answers.starts_with(answer.as_bytes()));
        left -= batch;
    }
    total(readers).await
}

/// As Redis wants it.
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
    // The answer repeats the command, and ends with the number of channels.
    let mut answer = vec![0; request.replacen("*2", "*3", 1).len() + ":1\r\n".len()];
    subscriber.read_exact(&mut answer).await.unwrap();
    assert!(answer.ends_with(b":1\r\n"));
    subscriber
}

pub(crate) async fn count(mut subscriber: TcpStream, messages: usize, length: usize) -> Seen {
    let mut seen = Seen::default();
    let (mut received, mut over) = (Vec::new(), 0);
    while seen.messages < messages {
        received.clear();
        let read = subscriber.read_buf(&mut received).await.unwrap();
        assert_ne!(read, 0, "redis let a subscriber go");
        over += read;
        if over >= length {
            seen.count(over / length, over / length * length);
            over %= length;
        }
    }
    seen
}
