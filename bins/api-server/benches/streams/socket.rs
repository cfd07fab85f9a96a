use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

use crate::{TIMEOUT, report::as_float};

/// What several readers received in total.
#[derive(Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

impl Delivery {
    pub(crate) fn per_second(self) -> f64 {
        as_float(self.messages) / self.time.as_secs_f64()
    }
}

/// A minimal WebSocket client.
pub(crate) struct Socket {
    pub(crate) connection: TcpStream,
    pub(crate) received: Vec<u8>,
}

/// What one reader received.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) first: Option<Instant>,
    pub(crate) last: Option<Instant>,
}

impl Seen {
    pub(crate) fn count(&mut self, messages: usize, bytes: usize) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.messages += messages;
        self.bytes += bytes;
    }
}

impl Socket {
    pub(crate) async fn open(address: &str, token: &str, command_id: &str) -> Self {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /ws/responses/{command_id} HTTP/1.1\r\nHost: {address}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        let end = loop {
            assert_ne!(connection.read_buf(&mut received).await.unwrap(), 0);
            if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        assert!(received.starts_with(b"HTTP/1.1 101"), "no WebSocket");
        received.drain(..end);
        Self {
            connection,
            received,
        }
    }

    /// Counts the events and responds to pings until the stream ends.
    pub(crate) async fn follow(&mut self) -> Seen {
        const TEXT: u8 = 1;
        const CLOSE: u8 = 8;
        const PING: u8 = 9;
        /// A final frame with a mask of zeros, which does not change the payload.
        const PONG: [u8; 6] = [0x8A, 0x80, 0, 0, 0, 0];
        let mut seen = Seen::default();
        loop {
            while let Some((kind, header, length)) = frame(&self.received) {
                match kind {
                    TEXT => seen.count(1, length),
                    PING if self.connection.write_all(&PONG).await.is_err() => return seen,
                    CLOSE => return seen,
                    _ => {}
                }
                self.received.drain(..header + length);
            }
            let read = self.connection.read_buf(&mut self.received).await;
            if !read.is_ok_and(|count| count > 0) {
                return seen;
            }
        }
    }
}

/// Returns the kind of the first frame and the lengths of its header and payload, if it is complete.
pub(crate) fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (kind, short) = (bytes.first()? & 0x0F, bytes.get(1)? & 0x7F);
    let (header, length) = match short {
        126 => {
            let long = bytes.get(2..4)?.try_into().ok()?;
            (4, usize::from(u16::from_be_bytes(long)))
        }
        127 => {
            let longest = bytes.get(2..10)?.try_into().ok()?;
            (10, usize::try_from(u64::from_be_bytes(longest)).ok()?)
        }
        length => (2, usize::from(length)),
    };
    (bytes.len() >= header + length).then_some((kind, header, length))
}

/// Returns what all readers received, from the first to the last event of any reader. Each must have received
/// the same number of events.
pub(crate) async fn total(readers: Vec<JoinHandle<Seen>>) -> Delivery {
    let mut all = Seen::default();
    let mut each = None;
    for reader in readers {
        let seen = timeout(TIMEOUT, reader).await.unwrap().unwrap();
        assert_eq!(*each.get_or_insert(seen.messages), seen.messages);
        all.messages += seen.messages;
        all.bytes += seen.bytes;
        all.first = all.first.into_iter().chain(seen.first).min();
        all.last = all.last.max(seen.last);
    }
    Delivery {
        messages: all.messages,
        bytes: all.bytes,
        time: all.last.unwrap() - all.first.unwrap(),
    }
}
