use reqwest::{Response, header::HeaderMap};
use serde_json::Value;

use crate::within;

/// A stream of Server-Sent Events.
pub struct EventSource {
    response: Response,
    /// What has arrived of blocks that are not read yet.
    arrived: Vec<u8>,
}

/// What stands between two empty lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// After how many milliseconds to connect again.
    Retry(u64),
    /// Nothing but a sign of life.
    Comment,
    /// An event.
    Event {
        /// The number by which to resume, if it has one.
        id: Option<i64>,
        /// Its JSON.
        data: Value,
    },
}

impl EventSource {
    pub(crate) fn of(response: Response) -> Self {
        Self {
            response,
            arrived: Vec::new(),
        }
    }

    /// The headers of the answer.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next block; nothing when the server has ended the answer.
    pub async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some(end) = self.arrived.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.arrived.drain(..end + 2).collect();
                return Some(Block::parse(std::str::from_utf8(&block).unwrap()));
            }
            // An answer that was cut off instead of ended is an error.
            let chunk = within("a block", self.response.chunk()).await.unwrap();
            let Some(chunk) = chunk else {
                assert!(self.arrived.is_empty(), "half a block");
                return None;
            };
            self.arrived.extend_from_slice(&chunk);
        }
    }

    /// The next event, as a browser sees it.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Block::Event { data, .. } = self.block().await? {
                return Some(data);
            }
        }
    }

    /// Every event until the server ends the answer.
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
