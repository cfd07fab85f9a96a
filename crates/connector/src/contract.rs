//! The contract of all connectors, as a test suite to run against a real vehicle or a simulator.
//!
//! The vehicle must support `ReadDTC` and `ReadDataByID` and must not support `NoSuchCommand`. Requires
//! the feature `contract-suite`.

use std::{fmt::Display, time::Duration};

use futures_util::{TryStreamExt, future::join_all};
use serde_json::{Value, json};
use sovd_domain::{CommandId, Random, SeededRandom, VehicleId, Vin};
use thiserror::Error;
use tokio::time::timeout;

use crate::{
    error::ConnectorError,
    request::{CommandRequest, Connector, ResponseChunk},
};

/// The time limit for one response.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A vehicle that the connector under test can reach.
#[derive(Debug, Clone)]
pub struct TestVehicle {
    /// Its ID.
    pub vehicle_id: VehicleId,
    /// Its VIN.
    pub vin: Vin,
}

/// A rule that the connector violates.
#[derive(Debug, Error)]
#[error("{rule}: {found}")]
pub struct Violation {
    rule: &'static str,
    found: String,
}

/// Checks every rule of the contract.
///
/// # Errors
///
/// Returns the first violation.
pub async fn check(connector: &dyn Connector, vehicle: &TestVehicle) -> Result<(), Violation> {
    let suite = Suite {
        connector,
        vehicle,
        random: SeededRandom::new(1),
    };
    suite.responses_end_with_their_only_final_chunk().await?;
    suite.unknown_commands_are_unsupported().await?;
    suite.concurrent_commands_are_independent().await?;
    suite.a_dropped_stream_leaves_the_connector_usable().await
}

struct Suite<'a> {
    connector: &'a dyn Connector,
    vehicle: &'a TestVehicle,
    random: SeededRandom,
}

impl Suite<'_> {
    async fn responses_end_with_their_only_final_chunk(&self) -> Result<(), Violation> {
        const RULE: &str = "a response has at least one chunk, and only the last chunk is final";
        for request in [self.read_dtc(), self.read_vin()] {
            let chunks = self.response(RULE, request).await?;
            let finals: Vec<bool> = chunks.iter().map(|chunk| chunk.is_final).collect();
            let ends_with_final = finals.last() == Some(&true);
            if !ends_with_final || finals.iter().filter(|is_final| **is_final).count() != 1 {
                return Err(violation(RULE, format!("final flags {finals:?}")));
            }
        }
        Ok(())
    }

    async fn unknown_commands_are_unsupported(&self) -> Result<(), Violation> {
        const RULE: &str = "a command that the connector does not support fails with Unsupported";
        let request = self.request("NoSuchCommand", json!({}));
        match self.connector.execute(request).await {
            Err(ConnectorError::Unsupported { .. }) => Ok(()),
            Err(other) => Err(violation(RULE, other)),
            Ok(_) => Err(violation(RULE, "a stream")),
        }
    }

    async fn concurrent_commands_are_independent(&self) -> Result<(), Violation> {
        const RULE: &str = "concurrent commands receive a response each";
        let responses = (0..20).map(|_| self.response(RULE, self.read_vin()));
        for response in join_all(responses).await {
            response?;
        }
        Ok(())
    }

    async fn a_dropped_stream_leaves_the_connector_usable(&self) -> Result<(), Violation> {
        const RULE: &str = "after a stream is dropped, the next command receives a response";
        for _ in 0..10 {
            drop(self.connector.execute(self.read_dtc()).await);
        }
        self.response(RULE, self.read_dtc()).await.map(|_| ())
    }

    async fn response(
        &self,
        rule: &'static str,
        request: CommandRequest,
    ) -> Result<Vec<ResponseChunk>, Violation> {
        let collect = async {
            let stream = self.connector.execute(request).await?;
            stream.try_collect().await
        };
        match timeout(TIMEOUT, collect).await {
            Ok(Ok(chunks)) => Ok(chunks),
            Ok(Err(error)) => Err(violation(rule, error)),
            Err(_) => Err(violation(rule, "no response")),
        }
    }

    fn read_dtc(&self) -> CommandRequest {
        self.request("ReadDTC", json!({ "ecuAddress": "0x10" }))
    }

    fn read_vin(&self) -> CommandRequest {
        self.request(
            "ReadDataByID",
            json!({ "ecuAddress": "0x10", "dataId": "0xF190" }),
        )
    }

    fn request(&self, command_name: &str, params: Value) -> CommandRequest {
        CommandRequest {
            command_id: CommandId(self.random.uuid()),
            vehicle_id: self.vehicle.vehicle_id,
            vin: self.vehicle.vin.clone(),
            command_name: command_name.to_owned(),
            params,
        }
    }
}

fn violation(rule: &'static str, found: impl Display) -> Violation {
    Violation {
        rule,
        found: found.to_string(),
    }
}
