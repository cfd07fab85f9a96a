//! The mock passes the contract of all connectors, and misbehaves when told to.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use sovd_connector::{
    CommandRequest, Connector, ConnectorError, MockBehaviour, MockConnector, MockFailure,
    ResponseChunk,
    contract::{self, Peer},
};
use sovd_domain::{CommandId, Random, SeededRandom, VehicleId};
use tokio::time::Instant;

type Answer = Vec<Result<ResponseChunk, ConnectorError>>;

fn instant() -> MockBehaviour {
    MockBehaviour {
        min_delay: Duration::ZERO,
        max_delay: Duration::ZERO,
        ..MockBehaviour::default()
    }
}

fn mock(behaviour: MockBehaviour) -> MockConnector {
    MockConnector::new(behaviour, Arc::new(SeededRandom::new(1)))
}

fn request(command_name: &str, params: Value) -> CommandRequest {
    let random = SeededRandom::new(2);
    CommandRequest {
        command_id: CommandId(random.uuid()),
        vehicle_id: VehicleId(random.uuid()),
        vin: "TESTVIN0000000001".parse().unwrap(),
        command_name: command_name.to_owned(),
        params,
    }
}

fn read_dtc() -> CommandRequest {
    request("ReadDTC", json!({ "ecuAddress": "0x10" }))
}

async fn answer(behaviour: MockBehaviour, request: CommandRequest) -> Answer {
    mock(behaviour)
        .execute(request)
        .await
        .unwrap()
        .collect()
        .await
}

#[tokio::test]
async fn passes_the_contract() {
    for chunks in [1, 7] {
        let request = read_dtc();
        let peer = Peer {
            vehicle_id: request.vehicle_id,
            vin: request.vin,
        };
        contract::check(
            &mock(MockBehaviour {
                chunks,
                ..instant()
            }),
            &peer,
        )
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn the_contract_notices_a_lost_final_chunk() {
    let request = read_dtc();
    let peer = Peer {
        vehicle_id: request.vehicle_id,
        vin: request.vin,
    };
    let broken = mock(MockBehaviour {
        chunks: 2,
        lose_final: true,
        ..instant()
    });
    assert!(contract::check(&broken, &peer).await.is_err());
}

#[tokio::test]
async fn read_dtc_has_p0420_in_one_chunk_or_many() {
    for chunks in [1, 2, 3, 20] {
        let chunks_read = answer(
            MockBehaviour {
                chunks,
                ..instant()
            },
            read_dtc(),
        )
        .await;
        assert_eq!(chunks_read.len(), chunks);
        let codes: Vec<Value> = chunks_read
            .iter()
            .flat_map(|chunk| {
                chunk.as_ref().unwrap().payload["dtcs"]
                    .as_array()
                    .unwrap()
                    .clone()
            })
            .map(|dtc| dtc["code"].clone())
            .collect();
        assert!(codes.contains(&json!("P0420")), "{codes:?}");
        assert!(codes.len() >= chunks);
    }
}

#[tokio::test]
async fn clear_dtc_says_cleared_at_the_end() {
    let request = request(
        "ClearDTC",
        json!({ "ecuAddress": "0x10", "dtcCode": "P0420" }),
    );
    let chunks = answer(
        MockBehaviour {
            chunks: 2,
            ..instant()
        },
        request,
    )
    .await;
    assert_eq!(chunks[0].as_ref().unwrap().payload["cleared"], false);
    assert_eq!(chunks[1].as_ref().unwrap().payload["cleared"], true);
}

#[tokio::test]
async fn read_data_by_id_knows_the_vin() {
    let request = request(
        "ReadDataByID",
        json!({ "ecuAddress": "0x10", "dataId": "0xf190" }),
    );
    let chunks = answer(
        MockBehaviour {
            chunks: 3,
            ..instant()
        },
        request,
    )
    .await;
    let vin: String = chunks
        .iter()
        .map(|chunk| {
            chunk.as_ref().unwrap().payload["value"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(vin, "TESTVIN0000000001");
}

#[tokio::test]
async fn failures_say_whether_the_command_was_sent() {
    let fails = |failure| MockBehaviour {
        chunks: 2,
        failure: Some(failure),
        ..instant()
    };
    let refused = mock(fails(MockFailure::Rejected))
        .execute(read_dtc())
        .await
        .err()
        .unwrap();
    assert!(matches!(refused, ConnectorError::Rejected { .. }));
    assert!(!refused.may_have_acted());
    let away = mock(fails(MockFailure::Unreachable))
        .execute(read_dtc())
        .await
        .err()
        .unwrap();
    assert!(matches!(away, ConnectorError::Unreachable { .. }));
    assert!(!away.may_have_acted());
    let late = answer(fails(MockFailure::Timeout), read_dtc()).await;
    assert_eq!(late, vec![Err(ConnectorError::Timeout { sent: true })]);
    let broken = answer(fails(MockFailure::Broken), read_dtc()).await;
    assert_eq!(broken.len(), 2);
    assert!(broken[0].is_ok());
    assert_eq!(broken[1], Err(ConnectorError::Broken { sent: true }));
}

#[tokio::test]
async fn a_lost_final_chunk_is_not_sent() {
    let lossy = MockBehaviour {
        chunks: 3,
        lose_final: true,
        ..instant()
    };
    let chunks = answer(lossy, read_dtc()).await;
    assert_eq!(chunks.len(), 2);
    assert!(chunks.iter().all(|chunk| !chunk.as_ref().unwrap().is_final));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_command_never_answers() {
    let mut stream = mock(MockBehaviour {
        hang: true,
        ..instant()
    })
    .execute(read_dtc())
    .await
    .unwrap();
    tokio::time::advance(Duration::from_hours(1)).await;
    assert!(stream.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn each_chunk_takes_its_time() {
    let start = Instant::now();
    answer(
        MockBehaviour {
            chunks: 4,
            ..MockBehaviour::default()
        },
        read_dtc(),
    )
    .await;
    let taken = start.elapsed();
    assert!(taken >= Duration::from_secs(2), "{taken:?}");
    assert!(taken <= Duration::from_millis(6010), "{taken:?}");
}
