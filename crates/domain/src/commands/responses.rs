//! What a vehicle answers.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::ids::{CommandId, ResponseId};

/// One chunk of a vehicle's answer, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Identifies the chunk.
    pub response_id: ResponseId,
    /// The command it answers.
    pub command_id: CommandId,
    /// What the vehicle sent.
    pub response_payload: Value,
    /// Its place in the answer: 1, 2, 3 and so on without a gap.
    pub sequence_number: i32,
    /// Whether the answer ends here.
    pub is_final: bool,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
}
