use std::time::Duration;

use serde_json::json;
use sovd_connector::{
    MockBehavior,
    contract::{self, TestVehicle},
};
use tokio::time::Instant;

use crate::setup::{VIN, clear, codes_in_chunks, in_chunks, mock, read_dtc, request, respond};

#[tokio::test]
async fn the_mock_passes_the_contract_suite() {
    for chunks in [1, 7] {
        let request = read_dtc();
        let vehicle = TestVehicle {
            vehicle_id: request.vehicle_id,
            vin: request.vin,
        };
        contract::check(&mock(in_chunks(chunks)), &vehicle)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_contract_suite_detects_a_lost_final_chunk() {
    let request = read_dtc();
    let vehicle = TestVehicle {
        vehicle_id: request.vehicle_id,
        vin: request.vin,
    };
    let broken = mock(MockBehavior {
        lose_final: true,
        ..in_chunks(2)
    });
    assert!(contract::check(&broken, &vehicle).await.is_err());
}

#[tokio::test]
async fn read_dtc_returns_p0420_in_any_number_of_chunks() {
    for chunks in [1, 2, 3, 20] {
        let found = codes_in_chunks(&mock(in_chunks(chunks)), read_dtc()).await;
        assert_eq!(found.len(), chunks);
        let found = found.concat();
        assert!(found.contains(&"P0420".to_owned()), "{found:?}");
        assert!(found.len() >= chunks);
    }
}

#[tokio::test]
async fn clear_dtc_reports_cleared_in_the_last_chunk() {
    let chunks = respond(in_chunks(2), clear("P0420")).await;
    assert_eq!(chunks[0].as_ref().unwrap().payload["cleared"], false);
    assert_eq!(chunks[1].as_ref().unwrap().payload["cleared"], true);
}

#[tokio::test]
async fn read_data_by_id_returns_the_vin() {
    let request = request(
        "ReadDataByID",
        json!({ "ecuAddress": "0x10", "dataId": "0xf190" }),
    );
    let chunks = respond(in_chunks(3), request).await;
    let vin: String = chunks
        .iter()
        .map(|chunk| {
            chunk.as_ref().unwrap().payload["value"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(vin, VIN);
}

#[tokio::test(start_paused = true)]
async fn each_chunk_is_delayed() {
    let start = Instant::now();
    respond(
        MockBehavior {
            chunks: 4,
            ..MockBehavior::default()
        },
        read_dtc(),
    )
    .await;
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
    assert!(elapsed <= Duration::from_millis(6010), "{elapsed:?}");
}
