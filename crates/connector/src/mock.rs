//! A vehicle that exists only here, and can be told to misbehave.

mod clear_dtc;
mod read_data;
mod read_dtc;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, future, stream};
use serde_json::Value;
use sovd_domain::Random;
use tokio::time::sleep;

use crate::{
    error::ConnectorError,
    request::{CommandRequest, Connector, ResponseChunk, ResponseStream},
};

/// Answers like a vehicle, or fails like one.
pub struct MockConnector {
    behaviour: MockBehaviour,
    random: Arc<dyn Random>,
}

/// How the mock answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MockBehaviour {
    /// The shortest time before a chunk.
    pub min_delay: Duration,
    /// The longest time before a chunk.
    pub max_delay: Duration,
    /// How many chunks an answer has; 0 counts as 1.
    pub chunks: usize,
    /// How every command fails, if it does.
    pub failure: Option<MockFailure>,
    /// Whether every command is sent and never answered.
    pub hang: bool,
    /// Whether the stream ends before the final chunk.
    pub lose_final: bool,
}

/// The ways in which the mock can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MockFailure {
    /// The vehicle says no.
    Rejected,
    /// Nothing is sent.
    Unreachable,
    /// It is sent and the connector gives up waiting.
    Timeout,
    /// It is sent and the connection breaks in the middle of the answer.
    Broken,
}

impl Default for MockBehaviour {
    fn default() -> Self {
        Self {
            min_delay: Duration::from_millis(500),
            max_delay: Duration::from_millis(1500),
            chunks: 1,
            failure: None,
            hang: false,
            lose_final: false,
        }
    }
}

impl MockConnector {
    /// The name it is registered under.
    pub const NAME: &'static str = "mock";

    /// A mock that behaves like `behaviour`; `random` decides delays and data.
    pub fn new(behaviour: MockBehaviour, random: Arc<dyn Random>) -> Self {
        Self { behaviour, random }
    }

    fn answer(&self, request: &CommandRequest) -> Result<Vec<Value>, ConnectorError> {
        let chunks = self.behaviour.chunks.max(1);
        match request.command_name.as_str() {
            "ReadDTC" => Ok(read_dtc::answer(request, chunks)),
            "ClearDTC" => Ok(clear_dtc::answer(request, chunks)),
            "ReadDataByID" => Ok(read_data::answer(request, chunks, self.random.as_ref())),
            _ => Err(ConnectorError::Unsupported {
                command_name: request.command_name.clone(),
            }),
        }
    }

    /// What comes of `answer` when the vehicle or the line misbehaves.
    fn distort(&self, answer: Vec<Value>) -> Vec<Result<ResponseChunk, ConnectorError>> {
        let last = answer.len().saturating_sub(1);
        let mut items: Vec<_> = answer
            .into_iter()
            .enumerate()
            .map(|(index, payload)| {
                Ok(ResponseChunk {
                    payload,
                    is_final: index == last,
                })
            })
            .collect();
        if self.behaviour.lose_final {
            items.truncate(last);
        }
        match self.behaviour.failure {
            Some(MockFailure::Timeout) => vec![Err(ConnectorError::Timeout { sent: true })],
            Some(MockFailure::Broken) => {
                items.truncate(last);
                items.push(Err(ConnectorError::Broken { sent: true }));
                items
            }
            Some(MockFailure::Rejected | MockFailure::Unreachable) | None => items,
        }
    }

    fn delay(&self) -> Duration {
        let micros = |delay: Duration| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        let (low, high) = (
            micros(self.behaviour.min_delay),
            micros(self.behaviour.max_delay),
        );
        Duration::from_micros(self.random.between(low, high))
    }
}

#[async_trait]
impl Connector for MockConnector {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn execute(&self, request: CommandRequest) -> Result<ResponseStream, ConnectorError> {
        let answer = self.answer(&request)?;
        match self.behaviour.failure {
            Some(MockFailure::Unreachable) => {
                return Err(ConnectorError::Unreachable {
                    reason: "no link to the vehicle".into(),
                });
            }
            Some(MockFailure::Rejected) => {
                return Err(ConnectorError::Rejected {
                    reason: "conditions not correct (ISO 14229-1, 0x22)".into(),
                });
            }
            Some(MockFailure::Timeout | MockFailure::Broken) | None => {}
        }
        if self.behaviour.hang {
            return Ok(stream::once(future::pending()).boxed());
        }
        let items: Vec<_> = self
            .distort(answer)
            .into_iter()
            .map(|item| (self.delay(), item))
            .collect();
        let chunks = stream::iter(items).then(async |(delay, item)| {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            item
        });
        Ok(chunks.boxed())
    }
}
