use serde_json::json;
use sovd_connector::{CommandRequest, Connector, Journal, MockBehaviour, MockFailure};

use crate::setup::{
    answer_of, clear, clear_all, codes, codes_in_chunks, fails, in_chunks, instant, mock,
    mock_with, read_dtc, request, send,
};

const ALL: [&str; 3] = ["P0420", "P0301", "U0100"];

fn at(ecu_address: &str, command_name: &str) -> CommandRequest {
    request(command_name, json!({ "ecuAddress": ecu_address }))
}

#[tokio::test]
async fn a_cleared_ecu_has_no_faults_left() {
    let mock = mock(instant());
    assert_eq!(codes(&mock, read_dtc()).await, ALL);
    answer_of(&mock, clear_all()).await;
    for _ in 0..2 {
        assert!(codes(&mock, read_dtc()).await.is_empty());
    }
}

#[tokio::test]
async fn a_single_code_is_cleared_and_the_others_stay() {
    let mock = mock(instant());
    answer_of(&mock, clear("P0301")).await;
    assert_eq!(codes(&mock, read_dtc()).await, ["P0420", "U0100"]);
    answer_of(&mock, clear("P0420-1A")).await;
    assert_eq!(codes(&mock, read_dtc()).await, ["P0420", "U0100"]);
    answer_of(&mock, clear("P0420")).await;
    assert_eq!(codes(&mock, read_dtc()).await, ["U0100"]);
}

#[tokio::test]
async fn a_single_code_after_all_brings_nothing_back() {
    let mock = mock(instant());
    answer_of(&mock, clear_all()).await;
    answer_of(&mock, clear("P0301")).await;
    assert!(codes(&mock, read_dtc()).await.is_empty());
}

#[tokio::test]
async fn other_ecus_and_vehicles_keep_their_faults() {
    let mock = mock(instant());
    answer_of(&mock, clear_all()).await;
    assert_eq!(codes(&mock, at("0x11", "ReadDTC")).await, ALL);
    assert_eq!(codes(&mock, at("0x0010", "ReadDTC")).await, ALL);
    let elsewhere = CommandRequest {
        vin: "TESTVIN0000000002".parse().unwrap(),
        ..read_dtc()
    };
    assert_eq!(codes(&mock, elsewhere).await, ALL);
}

#[tokio::test]
async fn an_ecu_address_is_the_same_in_either_case() {
    let mock = mock(instant());
    answer_of(&mock, at("0x1a2B", "ClearDTC")).await;
    for spelling in ["0x1a2B", "0x1A2b", "0x1a2b"] {
        assert!(codes(&mock, at(spelling, "ReadDTC")).await.is_empty());
    }
}

#[tokio::test]
async fn the_faults_that_fill_many_chunks_are_cleared_like_the_others() {
    let mock = mock(in_chunks(5));
    let before = codes(&mock, read_dtc()).await;
    assert_eq!(before, ["P0420", "P0301", "U0100", "B1003", "B1004"]);
    answer_of(&mock, clear("B1003")).await;
    let after = codes(&mock, read_dtc()).await;
    assert_eq!(after, ["P0420", "P0301", "U0100", "B1004"]);

    answer_of(&mock, clear_all()).await;
    let chunks = codes_in_chunks(&mock, read_dtc()).await;
    assert_eq!(chunks, vec![Vec::<String>::new(); 5]);
}

#[tokio::test]
async fn a_clear_counts_from_the_moment_it_is_sent() {
    let journal = Journal::in_memory();
    let slow = mock_with(MockBehaviour::default(), &journal);
    let unread = slow.execute(clear_all()).await.unwrap();
    let quick = mock_with(instant(), &journal);
    assert!(codes(&quick, read_dtc()).await.is_empty());
    drop(unread);
    assert!(codes(&quick, read_dtc()).await.is_empty());
}

#[tokio::test]
async fn what_a_failure_leaves_of_the_faults() {
    let loses_final = MockBehaviour {
        lose_final: true,
        ..in_chunks(2)
    };
    for (behaviour, left) in [
        (fails(MockFailure::Rejected), 3),
        (fails(MockFailure::Unreachable), 3),
        (fails(MockFailure::Timeout), 3),
        (fails(MockFailure::Broken), 0),
        (loses_final, 0),
    ] {
        let case = format!("{behaviour:?}");
        let journal = Journal::in_memory();
        send(&mock_with(behaviour, &journal), clear_all()).await;
        let later = mock_with(instant(), &journal);
        assert_eq!(codes(&later, read_dtc()).await.len(), left, "{case}");
    }
}
