use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use serde_json::{Value, json};
use sovd_connector::{
    CommandRequest, Connector, ConnectorError, Journal, MockBehaviour, MockConnector, MockFailure,
    ResponseChunk,
};
use sovd_domain::{CommandId, Random, SeededRandom, VehicleId};

pub(crate) const VIN: &str = "TESTVIN0000000001";

pub(crate) type Answer = Vec<Result<ResponseChunk, ConnectorError>>;

pub(crate) fn instant() -> MockBehaviour {
    MockBehaviour {
        min_delay: Duration::ZERO,
        max_delay: Duration::ZERO,
        ..MockBehaviour::default()
    }
}

pub(crate) fn in_chunks(chunks: usize) -> MockBehaviour {
    MockBehaviour {
        chunks,
        ..instant()
    }
}

pub(crate) fn fails(failure: MockFailure) -> MockBehaviour {
    MockBehaviour {
        failure: Some(failure),
        ..in_chunks(2)
    }
}

pub(crate) fn mock(behaviour: MockBehaviour) -> MockConnector {
    MockConnector::new(behaviour, Arc::new(SeededRandom::new(1)))
}

/// A mock that shares its past with all others of the same journal.
pub(crate) fn mock_with(behaviour: MockBehaviour, journal: &Journal) -> MockConnector {
    mock(behaviour).with_journal(journal.clone())
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

pub(crate) async fn answer_of(mock: &MockConnector, request: CommandRequest) -> Answer {
    mock.execute(request).await.unwrap().collect().await
}

pub(crate) async fn answer(behaviour: MockBehaviour, request: CommandRequest) -> Answer {
    answer_of(&mock(behaviour), request).await
}

/// Does `request`, whatever comes of it.
pub(crate) async fn send(mock: &MockConnector, request: CommandRequest) {
    if let Ok(stream) = mock.execute(request).await {
        stream.collect::<Vec<_>>().await;
    }
}

/// The trouble codes that `request` finds, chunk by chunk.
pub(crate) async fn codes_in_chunks(
    mock: &MockConnector,
    request: CommandRequest,
) -> Vec<Vec<String>> {
    let code = |dtc: &Value| dtc["code"].as_str().unwrap().to_owned();
    let chunks = answer_of(mock, request).await.into_iter();
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

/// The trouble codes that `request` finds.
pub(crate) async fn codes(mock: &MockConnector, request: CommandRequest) -> Vec<String> {
    codes_in_chunks(mock, request).await.concat()
}
