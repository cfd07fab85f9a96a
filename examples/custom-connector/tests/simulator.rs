//! The simulator passes the contract suite and keeps the state of its ECUs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sovd_connector::{
    CommandRequest, Connector, ConnectorError,
    contract::{self, TestVehicle},
};
use sovd_domain::{CommandId, Random, SeededRandom, VehicleId};
use sovd_example_custom_connector::{Ecu, EcuSimulator};

const VIN: &str = "TESTVIN0000000001";

fn simulator() -> EcuSimulator {
    let ecu = Ecu::default()
        .with_trouble_code("P0420")
        .with_trouble_code("U0100")
        .with_data("0xF190", VIN);
    EcuSimulator::default().with_ecu(VIN.parse().unwrap(), "0x10", ecu)
}

fn request(command_name: &str, params: Value) -> CommandRequest {
    let random = SeededRandom::new(1);
    CommandRequest {
        command_id: CommandId(random.uuid()),
        vehicle_id: VehicleId(random.uuid()),
        vin: VIN.parse().unwrap(),
        command_name: command_name.to_owned(),
        params,
    }
}

async fn execute(
    simulator: &EcuSimulator,
    command_name: &str,
    params: Value,
) -> Result<Vec<Value>, ConnectorError> {
    let stream = simulator.execute(request(command_name, params)).await?;
    stream.map_ok(|chunk| chunk.payload).try_collect().await
}

#[tokio::test]
async fn passes_the_contract_suite() {
    let CommandRequest {
        vehicle_id, vin, ..
    } = request("ReadDTC", json!({}));
    let vehicle = TestVehicle { vehicle_id, vin };
    contract::check(&simulator(), &vehicle).await.unwrap();
}

#[tokio::test]
async fn cleared_trouble_codes_are_no_longer_read() {
    let simulator = simulator();
    let address = json!({ "ecuAddress": "0x10" });
    let clear = json!({ "ecuAddress": "0x10", "dtcCode": "P0420" });
    execute(&simulator, "ClearDTC", clear).await.unwrap();
    let chunks = execute(&simulator, "ReadDTC", address.clone()).await;
    let remaining = json!([{ "code": "U0100", "status": "confirmed" }]);
    assert_eq!(chunks.unwrap()[0]["dtcs"], remaining);

    let clear_all = execute(&simulator, "ClearDTC", address.clone()).await;
    clear_all.unwrap();
    let chunks = execute(&simulator, "ReadDTC", address).await.unwrap();
    assert_eq!(chunks[0]["dtcs"], json!([]));
}

#[tokio::test]
async fn a_long_value_is_returned_in_several_chunks() {
    let params = json!({ "ecuAddress": "0x10", "dataId": "0xf190" });
    let chunks = execute(&simulator(), "ReadDataByID", params).await.unwrap();
    let parts: Vec<&str> = chunks
        .iter()
        .filter_map(|chunk| chunk["value"].as_str())
        .collect();
    assert_eq!(parts, ["TESTVIN0", "00000000", "1"]);
}

#[tokio::test]
async fn errors_state_that_the_vehicle_did_not_act() {
    let no_ecu = json!({ "ecuAddress": "0x7F" });
    let no_data = json!({ "ecuAddress": "0x10", "dataId": "0x0000" });
    for (command_name, params) in [("ReadDTC", no_ecu), ("ReadDataByID", no_data)] {
        let error = execute(&simulator(), command_name, params).await;
        assert!(!error.unwrap_err().may_have_acted(), "{command_name}");
    }
}
