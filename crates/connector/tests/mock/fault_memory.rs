use serde_json::json;
use sovd_connector::{CommandRequest, Connector, Journal, MockBehavior, MockFailure};

use crate::setup::{
    clear, clear_all, codes, codes_in_chunks, execute, fails, in_chunks, instant, mock, mock_with,
    read_dtc, request, send,
};

const ALL: [&str; 3] = ["P0420", "P0301", "U0100"];

fn at(ecu_address: &str, command_name: &str) -> CommandRequest {
    request(command_name, json!({ "ecuAddress": ecu_address }))
}

#[tokio::test]
async fn clearing_an_ecu_removes_all_trouble_codes() {
    let mock = mock(instant());
    assert_eq!(codes(&mock, read_dtc()).await, ALL);
    execute(&mock, clear_all()).await;
    for _ in 0..2 {
        assert!(codes(&mock, read_dtc()).await.is_empty());
    }
}

#[tokio::test]
async fn clearing_one_trouble_code_keeps_the_others() {
    let mock = mock(instant());
    execute(&mock, clear("P0301")).await;
    assert_eq!(codes(&mock, read_dtc()).await, ["P0420", "U0100"]);
    execute(&mock, clear("P0420-1A")).await;
    assert_eq!(codes(&mock, read_dtc()).await, ["P0420", "U0100"]);
    execute(&mock, clear("P0420")).await;
    assert_eq!(codes(&mock, read_dtc()).await, ["U0100"]);
}

#[tokio::test]
async fn clearing_one_trouble_code_after_all_restores_none() {
    let mock = mock(instant());
    execute(&mock, clear_all()).await;
    execute(&mock, clear("P0301")).await;
    assert!(codes(&mock, read_dtc()).await.is_empty());
}

#[tokio::test]
async fn clearing_does_not_affect_other_ecus_or_vehicles() {
    let mock = mock(instant());
    execute(&mock, clear_all()).await;
    assert_eq!(codes(&mock, at("0x11", "ReadDTC")).await, ALL);
    assert_eq!(codes(&mock, at("0x0010", "ReadDTC")).await, ALL);
    let other_vehicle = CommandRequest {
        vin: "TESTVIN0000000002".parse().unwrap(),
        ..read_dtc()
    };
    assert_eq!(codes(&mock, other_vehicle).await, ALL);
}

#[tokio::test]
async fn ecu_addresses_are_case_insensitive() {
    let mock = mock(instant());
    execute(&mock, at("0x1a2B", "ClearDTC")).await;
    for spelling in ["0x1a2B", "0x1A2b", "0x1a2b"] {
        assert!(codes(&mock, at(spelling, "ReadDTC")).await.is_empty());
    }
}

#[tokio::test]
async fn generated_trouble_codes_can_be_cleared() {
    let mock = mock(in_chunks(5));
    let before = codes(&mock, read_dtc()).await;
    assert_eq!(before, ["P0420", "P0301", "U0100", "B1003", "B1004"]);
    execute(&mock, clear("B1003")).await;
    let after = codes(&mock, read_dtc()).await;
    assert_eq!(after, ["P0420", "P0301", "U0100", "B1004"]);

    execute(&mock, clear_all()).await;
    let chunks = codes_in_chunks(&mock, read_dtc()).await;
    assert_eq!(chunks, vec![Vec::<String>::new(); 5]);
}

#[tokio::test]
async fn clearing_takes_effect_when_the_command_is_sent() {
    let journal = Journal::in_memory();
    let slow = mock_with(MockBehavior::default(), &journal);
    let unread = slow.execute(clear_all()).await.unwrap();
    let quick = mock_with(instant(), &journal);
    assert!(codes(&quick, read_dtc()).await.is_empty());
    drop(unread);
    assert!(codes(&quick, read_dtc()).await.is_empty());
}

#[tokio::test]
async fn a_failure_clears_only_if_the_vehicle_executed_the_command() {
    let loses_final = MockBehavior {
        lose_final: true,
        ..in_chunks(2)
    };
    for (behavior, remaining) in [
        (fails(MockFailure::Rejected), 3),
        (fails(MockFailure::Unreachable), 3),
        (fails(MockFailure::Timeout), 3),
        (fails(MockFailure::Broken), 0),
        (loses_final, 0),
    ] {
        let case = format!("{behavior:?}");
        let journal = Journal::in_memory();
        send(&mock_with(behavior, &journal), clear_all()).await;
        let later = mock_with(instant(), &journal);
        assert_eq!(codes(&later, read_dtc()).await.len(), remaining, "{case}");
    }
}
