//! A connector of your own: vehicles whose ECUs are simulated in memory.
//!
//! A real connector sends the request over its protocol instead. The rules are the same: an error states
//! whether the vehicle may have executed the command, and the last chunk of a response is final.

mod ecu;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sovd_connector::{CommandRequest, Connector, ConnectorError, ResponseChunk, ResponseStream};
use sovd_domain::Vin;

pub use ecu::Ecu;

/// A connector to simulated vehicles.
#[derive(Default)]
pub struct EcuSimulator {
    ecus: Mutex<HashMap<(Vin, String), Ecu>>,
}

impl EcuSimulator {
    /// The name under which the connector is registered; vehicles choose it with the metadata
    /// `{"connector": "ecu-simulator"}`.
    pub const NAME: &'static str = "ecu-simulator";

    /// Adds an ECU with the given address, such as `0x10`, to a vehicle.
    #[must_use]
    pub fn with_ecu(mut self, vin: Vin, address: &str, ecu: Ecu) -> Self {
        let ecus = self.ecus.get_mut().unwrap_or_else(PoisonError::into_inner);
        ecus.insert((vin, address.to_ascii_lowercase()), ecu);
        self
    }

    /// Executes the command and returns the payloads of the response.
    fn respond(&self, request: &CommandRequest) -> Result<Vec<Value>, ConnectorError> {
        let address = text_param(request, "ecuAddress").to_ascii_lowercase();
        let mut ecus = self.ecus.lock().unwrap_or_else(PoisonError::into_inner);
        let ecu = ecus
            .get_mut(&(request.vin.clone(), address))
            .ok_or_else(|| ConnectorError::Unreachable {
                reason: "the vehicle has no ECU with this address".to_owned(),
            });
        match request.command_name.as_str() {
            "ReadDTC" => Ok(read_dtc(ecu?, request)),
            "ClearDTC" => Ok(clear_dtc(ecu?, request)),
            "ReadDataByID" => read_data(ecu?, request),
            _ => Err(ConnectorError::Unsupported {
                command_name: request.command_name.clone(),
            }),
        }
    }
}

#[async_trait]
impl Connector for EcuSimulator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn execute(&self, request: CommandRequest) -> Result<ResponseStream, ConnectorError> {
        let payloads = self.respond(&request)?;
        let last = payloads.len().saturating_sub(1);
        let chunks = payloads.into_iter().enumerate();
        let chunks = chunks.map(move |(index, payload)| {
            Ok(ResponseChunk {
                payload,
                is_final: index == last,
            })
        });
        Ok(stream::iter(chunks).boxed())
    }
}

/// Returns one chunk with all trouble codes, in the format that the detection rules read.
fn read_dtc(ecu: &Ecu, request: &CommandRequest) -> Vec<Value> {
    let dtcs = ecu.trouble_codes.iter();
    let dtcs: Vec<Value> = dtcs
        .map(|code| json!({ "code": code, "status": "confirmed" }))
        .collect();
    vec![json!({ "ecu_address": request.param("ecuAddress"), "dtcs": dtcs })]
}

/// Clears one trouble code, or all.
fn clear_dtc(ecu: &mut Ecu, request: &CommandRequest) -> Vec<Value> {
    let dtc_code = request.param("dtcCode").and_then(Value::as_str);
    ecu.trouble_codes
        .retain(|code| dtc_code.is_some_and(|cleared| cleared != code));
    vec![json!({
        "ecu_address": request.param("ecuAddress"),
        "dtc_code": dtc_code,
        "cleared": true,
    })]
}

/// Returns the value of a data identifier, one chunk for each 8 characters, as a slow bus would.
fn read_data(ecu: &Ecu, request: &CommandRequest) -> Result<Vec<Value>, ConnectorError> {
    const CHUNK_LENGTH: usize = 8;
    let data_id = text_param(request, "dataId").to_ascii_lowercase();
    let value = ecu
        .data
        .get(&data_id)
        .ok_or_else(|| ConnectorError::Rejected {
            reason: "request out of range (ISO 14229-1, 0x31)".to_owned(),
        })?;
    let count = value.chars().count().div_ceil(CHUNK_LENGTH).max(1);
    let mut characters = value.chars();
    let parts = (0..count).map(|_| characters.by_ref().take(CHUNK_LENGTH).collect::<String>());
    Ok(parts
        .map(|part| json!({ "data_id": data_id, "value": part }))
        .collect())
}

fn text_param<'a>(request: &'a CommandRequest, name: &str) -> &'a str {
    let value = request.param(name).and_then(Value::as_str);
    value.unwrap_or_default()
}
