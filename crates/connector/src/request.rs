use std::pin::Pin;

use async_trait::async_trait;
use futures_util::Stream;
use serde_json::Value;
use sovd_domain::{CommandId, VehicleId, Vin};

use crate::error::ConnectorError;

/// Sends commands to vehicles.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Returns the name under which the connector is registered.
    fn name(&self) -> &'static str;

    /// Sends one command and returns its response as a stream of chunks in order, of which the last
    /// is final. A stream that ends without a final chunk is truncated.
    ///
    /// Dropping the stream cancels the command if the protocol supports it.
    ///
    /// # Errors
    ///
    /// Returns a [`ConnectorError`], here or as an item of the stream.
    async fn execute(&self, request: CommandRequest) -> Result<ResponseStream, ConnectorError>;
}

/// The chunks of one response.
pub type ResponseStream = Pin<Box<dyn Stream<Item = Result<ResponseChunk, ConnectorError>> + Send>>;

/// One command for one vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRequest {
    /// The ID of the command; the same for every attempt.
    pub command_id: CommandId,
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// The VIN by which the vehicle identifies itself.
    pub vin: Vin,
    /// The command's name in the catalog.
    pub command_name: String,
    /// Parameters that conform to the catalog's schema.
    pub params: Value,
}

impl CommandRequest {
    /// Returns the parameter `name`.
    pub fn param(&self, name: &str) -> Option<&Value> {
        self.params.get(name)
    }
}

/// One part of a response.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseChunk {
    /// The data that the vehicle sent.
    pub payload: Value,
    /// Whether this is the last chunk of the response.
    pub is_final: bool,
}
