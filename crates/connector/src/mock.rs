//! Vehicles that exist only here. They remember what was done to them, and can be told to
//! misbehave.

mod clear_dtc;
mod fault_memory;
mod journal;
mod misbehaviour;
mod read_data;
mod read_dtc;

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, future, stream};
use serde_json::Value;
use sovd_domain::Random;
use tokio::time::sleep;

pub use self::journal::{Journal, JournalEntry};
use self::misbehaviour::Misbehaviour;
use crate::{
    error::ConnectorError,
    request::{CommandRequest, Connector, ResponseStream},
};

/// Answers like a vehicle, or fails like one.
pub struct MockConnector {
    behaviour: MockBehaviour,
    random: Arc<dyn Random>,
    journal: Journal,
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
    /// How commands fail, if they do.
    pub failure: Option<MockFailure>,
    /// Whether commands are sent and never answered. The vehicle does not act.
    pub hang: bool,
    /// Whether the stream ends before the final chunk. The vehicle acts.
    pub lose_final: bool,
    /// Names of the commands that `failure`, `hang` and `lose_final` apply to; empty means all.
    pub only: Vec<String>,
}

/// The ways in which the mock can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MockFailure {
    /// The vehicle says no.
    Rejected,
    /// Nothing is sent.
    Unreachable,
    /// It is sent, the vehicle does not act, and the connector gives up waiting.
    Timeout,
    /// It is sent, the vehicle acts, and the connection breaks in the middle of the answer.
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
            only: Vec::new(),
        }
    }
}

impl MockConnector {
    /// The name it is registered under.
    pub const NAME: &'static str = "mock";

    /// A mock that behaves like `behaviour`, with a journal in memory; `random` decides delays and
    /// data.
    pub fn new(behaviour: MockBehaviour, random: Arc<dyn Random>) -> Self {
        Self {
            behaviour,
            random,
            journal: Journal::in_memory(),
        }
    }

    /// The same mock with `journal`, which says what its vehicles went through before.
    #[must_use]
    pub fn with_journal(self, journal: Journal) -> Self {
        Self { journal, ..self }
    }

    fn answer(&self, request: &CommandRequest) -> Result<Vec<Value>, ConnectorError> {
        let chunks = self.behaviour.chunks.max(1);
        match request.command_name.as_str() {
            "ReadDTC" => {
                let erased = self
                    .journal
                    .erased(&request.vin, &request.params)
                    .map_err(|error| no_journal(&error))?;
                Ok(read_dtc::answer(request, chunks, &erased))
            }
            "ClearDTC" => Ok(clear_dtc::answer(request, chunks)),
            "ReadDataByID" => Ok(read_data::answer(request, chunks, self.random.as_ref())),
            _ => Err(ConnectorError::Unsupported {
                command_name: request.command_name.clone(),
            }),
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
        let misbehaviour = Misbehaviour::of(&self.behaviour, &request.command_name);
        if let Some(refusal) = misbehaviour.refusal() {
            return Err(refusal);
        }
        // From here on it counts as sent. A file is written on this very thread: it takes no longer
        // than a log line, and no cancellation can come between the entry and the sending.
        let entry = JournalEntry::new(&request, misbehaviour.acts());
        self.journal
            .record(entry)
            .map_err(|error| no_journal(&error))?;
        if misbehaviour.hang {
            return Ok(stream::once(future::pending()).boxed());
        }
        let items: Vec<_> = misbehaviour
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

/// A vehicle that cannot remember is not sent anything.
fn no_journal(error: &io::Error) -> ConnectorError {
    ConnectorError::Unreachable {
        reason: format!("the journal of the simulated vehicle cannot be used: {error}"),
    }
}
