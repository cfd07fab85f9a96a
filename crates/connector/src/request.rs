use std::pin::Pin;

use async_trait::async_trait;
use futures_util::Stream;
use serde_json::Value;
use sovd_domain::{CommandId, VehicleId, Vin};

use crate::error::ConnectorError;

/// Sends commands to vehicles.
#[async_trait]
pub trait Connector: Send + Sync {
    /// The name it is registered under.
    fn name(&self) -> &'static str;

    /// Sends one command and yields its response chunks in order; the last one is final. A stream
    /// that ends without a final chunk lost the rest of the answer.
    ///
    /// Dropping the stream cancels the command as far as the protocol can.
    ///
    /// # Errors
    ///
    /// What happened instead of an answer. It can come from here or from the stream.
    async fn execute(&self, request: CommandRequest) -> Result<ResponseStream, ConnectorError>;
}

/// The chunks of one answer.
pub type ResponseStream = Pin<Box<dyn Stream<Item = Result<ResponseChunk, ConnectorError>> + Send>>;

/// One command for one vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRequest {
    /// Identifies the command; the same for every attempt.
    pub command_id: CommandId,
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// The vehicle as it knows itself.
    pub vin: Vin,
    /// The name in the catalogue.
    pub command_name: String,
    /// Parameters that met the catalogue's schema.
    pub params: Value,
}

impl CommandRequest {
    /// The parameter called `name`.
    pub fn param(&self, name: &str) -> Option<&Value> {
        self.params.get(name)
    }
}

/// One part of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseChunk {
    /// What the vehicle sent.
    pub payload: Value,
    /// Whether the answer ends here.
    pub is_final: bool,
}
