//! Simulated vehicles with a fault memory and configurable failures.

mod clear_dtc;
mod failure_injection;
mod fault_memory;
mod journal;
mod read_data;
mod read_dtc;

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, future, stream};
use serde_json::Value;
use sovd_domain::Random;
use tokio::time::sleep;

pub use self::journal::{Journal, JournalEntry};
use crate::{
    error::ConnectorError,
    request::{CommandRequest, Connector, ResponseStream},
};

/// A connector to simulated vehicles.
pub struct MockConnector {
    behavior: MockBehavior,
    random: Arc<dyn Random>,
    journal: Journal,
}

/// Timing, size and failures of the responses of a mock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MockBehavior {
    /// The shortest time before a chunk.
    pub min_delay: Duration,
    /// The longest time before a chunk.
    pub max_delay: Duration,
    /// The number of chunks in a response; 0 is treated as 1.
    pub chunks: usize,
    /// The failure of commands.
    pub failure: Option<MockFailure>,
    /// Whether commands are sent and never receive a response. The vehicle does not execute them.
    pub hang: bool,
    /// Whether the stream ends before the final chunk. The vehicle executes the command.
    pub lose_final: bool,
    /// The names of the commands that `failure`, `hang` and `lose_final` apply to; all if empty.
    pub only: Vec<String>,
}

/// The failures that a mock can simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MockFailure {
    /// The vehicle rejects the command.
    Rejected,
    /// The command is not sent.
    Unreachable,
    /// The command is sent, the vehicle does not execute it, and the connector times out.
    Timeout,
    /// The command is sent, the vehicle executes it, and the connection is lost during the response.
    Broken,
}

impl Default for MockBehavior {
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
    /// The name under which the connector is registered.
    pub const NAME: &'static str = "mock";

    /// Creates a mock with a journal in memory; `random` determines delays and data.
    pub fn new(behavior: MockBehavior, random: Arc<dyn Random>) -> Self {
        Self {
            behavior,
            random,
            journal: Journal::in_memory(),
        }
    }

    /// Replaces the journal, from which the fault memory of the vehicles is derived.
    #[must_use]
    pub fn with_journal(self, journal: Journal) -> Self {
        Self { journal, ..self }
    }

    fn response(&self, request: &CommandRequest) -> Result<Vec<Value>, ConnectorError> {
        let chunks = self.behavior.chunks.max(1);
        match request.command_name.as_str() {
            "ReadDTC" => {
                let cleared = self
                    .journal
                    .cleared_codes(&request.vin, &request.params)
                    .map_err(|error| journal_unavailable(&error))?;
                Ok(read_dtc::response(request, chunks, &cleared))
            }
            "ClearDTC" => Ok(clear_dtc::response(request, chunks)),
            "ReadDataByID" => Ok(read_data::response(request, chunks, self.random.as_ref())),
            _ => Err(ConnectorError::Unsupported {
                command_name: request.command_name.clone(),
            }),
        }
    }

    fn delay(&self) -> Duration {
        let limits = [self.behavior.min_delay, self.behavior.max_delay];
        let [low, high] = limits.map(|delay| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
        Duration::from_micros(self.random.between(low, high))
    }
}

#[async_trait]
impl Connector for MockConnector {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn execute(&self, request: CommandRequest) -> Result<ResponseStream, ConnectorError> {
        let response = self.response(&request)?;
        let behavior = self.behavior.for_command(&request.command_name);
        if let Some(failure) = behavior.failure_before_sending() {
            return Err(failure);
        }
        // The command counts as sent from here on. The file is written on this thread, because no
        // cancellation may come between the entry and the sending; a write takes no longer than that
        // of a log line.
        let entry = JournalEntry::new(&request, behavior.vehicle_acts());
        self.journal
            .record(entry)
            .map_err(|error| journal_unavailable(&error))?;
        if behavior.hang {
            return Ok(stream::once(future::pending()).boxed());
        }
        let items: Vec<_> = behavior
            .apply_failure(response)
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

/// A command that cannot be recorded is not sent.
fn journal_unavailable(error: &io::Error) -> ConnectorError {
    ConnectorError::Unreachable {
        reason: format!("the journal of the simulated vehicle cannot be used: {error}"),
    }
}
