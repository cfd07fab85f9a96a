use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::ids::{CommandId, ResponseId};

/// A stored chunk of a vehicle's response.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Identifies the chunk.
    pub response_id: ResponseId,
    /// The command it answers.
    pub command_id: CommandId,
    /// The payload sent by the vehicle.
    pub response_payload: Value,
    /// Its number within the response, counted from 1 without gaps.
    pub sequence_number: i32,
    /// Whether it is the last chunk.
    pub is_final: bool,
    /// The time of its arrival.
    pub received_at: DateTime<Utc>,
}
