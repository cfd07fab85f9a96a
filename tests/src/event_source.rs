use reqwest::{Response, header::HeaderMap};
use serde_json::Value;

use crate::within;

/// A stream of Server-Sent Events.
pub struct EventSource {
    response: Response,
    /// Bytes of blocks that have not been returned.
    buffer: Vec<u8>,
}

/// A block of an event stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// The reconnection time in milliseconds.
    Retry(u64),
    /// A comment, which keeps the connection alive.
    Comment,
    /// An event.
    Event {
        /// The number from which to resume, if it has one.
        id: Option<i64>,
        /// Its JSON.
        data: Value,
    },
}

impl EventSource {
    pub(crate) fn of(response: Response) -> Self {
        Self {
            response,
            buffer: Vec::new(),
        }
    }

    /// Returns the headers of the response.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns the next block; `None` after the server has ended the response.
    pub async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(Block::parse(std::str::from_utf8(&block).unwrap()));
            }
            // A response that breaks off is an error.
            let chunk = within("a block", self.response.chunk()).await.unwrap();
            let Some(chunk) = chunk else {
                assert!(self.buffer.is_empty(), "an incomplete block");
                return None;
            };
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// Returns the next event, skipping other blocks.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Block::Event { data, .. } = self.block().await? {
                return Some(data);
            }
        }
    }

    /// Returns every event until the server ends the response.
    pub async fn rest(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

impl Block {
    fn parse(block: &str) -> Self {
        let (mut id, mut data) = (None, None);
        for line in block.trim_end_matches('\n').lines() {
            match line.split_once(": ") {
                Some(("", _)) => return Self::Comment,
                Some(("retry", value)) => return Self::Retry(value.parse().unwrap()),
                Some(("id", value)) => id = Some(value.parse().unwrap()),
                Some(("data", value)) => data = Some(serde_json::from_str(value).unwrap()),
                _ => panic!("not a line of an event stream: {line:?}"),
            }
        }
        Self::Event {
            id,
            data: data.unwrap(),
        }
    }
}
