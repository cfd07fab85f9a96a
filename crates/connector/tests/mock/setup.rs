use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use serde_json::{Value, json};
use sovd_connector::{
    CommandRequest, Connector, ConnectorError, Journal, MockBehavior, MockConnector, MockFailure,
    ResponseChunk,
};
use sovd_domain::{CommandId, Random, SeededRandom, VehicleId};

pub(crate) const VIN: &str = "TESTVIN0000000001";

pub(crate) type Response = Vec<Result<ResponseChunk, ConnectorError>>;

pub(crate) fn instant() -> MockBehavior {
    MockBehavior {
        min_delay: Duration::ZERO,
        max_delay: Duration::ZERO,
        ..MockBehavior::default()
    }
}

pub(crate) fn in_chunks(chunks: usize) -> MockBehavior {
    MockBehavior {
        chunks,
        ..instant()
    }
}

pub(crate) fn fails(failure: MockFailure) -> MockBehavior {
    MockBehavior {
        failure: Some(failure),
        ..in_chunks(2)
    }
}

pub(crate) fn mock(behavior: MockBehavior) -> MockConnector {
    MockConnector::new(behavior, Arc::new(SeededRandom::new(1)))
}

/// Creates a mock that shares the fault memory with all others of the same journal.
pub(crate) fn mock_with(behavior: MockBehavior, journal: &Journal) -> MockConnector {
    mock(behavior).with_journal(journal.clone())
}

pub(crate) fn request(command_name: &str, params: Value) -> CommandRequest {
    let random = SeededRandom::new(2);
    CommandRequest {
        command_id: CommandId(random.uuid()),
        vehicle_id: VehicleId(random.uuid()),
        vin: VIN.parse().unwrap(),
        command_name: command_name.to_owned(),
        params,
    }
}

pub(crate) fn read_dtc() -> CommandRequest {
    request("ReadDTC", json!({ "ecuAddress": "0x10" }))
}

pub(crate) fn clear_all() -> CommandRequest {
    request("ClearDTC", json!({ "ecuAddress": "0x10" }))
}

pub(crate) fn clear(code: &str) -> CommandRequest {
    request("ClearDTC", json!({ "ecuAddress": "0x10", "dtcCode": code }))
}

pub(crate) async fn execute(mock: &MockConnector, request: CommandRequest) -> Response {
    mock.execute(request).await.unwrap().collect().await
}

pub(crate) async fn respond(behavior: MockBehavior, request: CommandRequest) -> Response {
    execute(&mock(behavior), request).await
}

/// Executes `request` and ignores the result.
pub(crate) async fn send(mock: &MockConnector, request: CommandRequest) {
    if let Ok(stream) = mock.execute(request).await {
        stream.collect::<Vec<_>>().await;
    }
}

/// Returns the trouble codes in the response to `request`, by chunk.
pub(crate) async fn codes_in_chunks(
    mock: &MockConnector,
    request: CommandRequest,
) -> Vec<Vec<String>> {
    let code = |dtc: &Value| dtc["code"].as_str().unwrap().to_owned();
    let chunks = execute(mock, request).await.into_iter();
    chunks
        .map(|chunk| {
            let payload = chunk.unwrap().payload;
            payload["dtcs"]
                .as_array()
                .unwrap()
                .iter()
                .map(code)
                .collect()
        })
        .collect()
}

/// Returns the trouble codes in the response to `request`.
pub(crate) async fn codes(mock: &MockConnector, request: CommandRequest) -> Vec<String> {
    codes_in_chunks(mock, request).await.concat()
}
