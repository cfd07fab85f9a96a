use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use sovd_connector::{Connector, Journal, JournalEntry, MockBehavior, MockFailure};

use crate::setup::{
    VIN, clear, clear_all, codes, fails, in_chunks, instant, mock_with, read_dtc, request, send,
};

/// Returns the name of each command and whether the vehicle executed it.
fn summary(entries: &[JournalEntry]) -> Vec<(&str, bool)> {
    entries
        .iter()
        .map(|entry| (entry.command_name.as_str(), entry.acted))
        .collect()
}

#[tokio::test]
async fn every_command_is_recorded_in_order() {
    let journal = Journal::in_memory();
    let mock = mock_with(in_chunks(3), &journal);
    assert!(journal.entries().unwrap().is_empty());
    for request in [read_dtc(), clear("P0420"), read_dtc(), read_dtc()] {
        send(&mock, request).await;
    }

    let entries = journal.entries().unwrap();

    let expected = ["ReadDTC", "ClearDTC", "ReadDTC", "ReadDTC"].map(|name| (name, true));
    assert_eq!(summary(&entries), expected);
    let cleared = clear("P0420");
    assert_eq!(
        entries[1],
        JournalEntry {
            command_id: cleared.command_id,
            command_name: "ClearDTC".to_owned(),
            vin: VIN.parse().unwrap(),
            params: json!({ "ecuAddress": "0x10", "dtcCode": "P0420" }),
            acted: true,
        }
    );
}

#[tokio::test]
async fn commands_that_were_not_sent_or_were_rejected_are_not_recorded() {
    let journal = Journal::in_memory();
    for failure in [MockFailure::Unreachable, MockFailure::Rejected] {
        send(&mock_with(fails(failure), &journal), clear_all()).await;
    }
    let mock = mock_with(instant(), &journal);
    send(&mock, request("NoSuchCommand", json!({}))).await;
    assert!(journal.entries().unwrap().is_empty());
}

#[tokio::test]
async fn an_entry_records_whether_the_vehicle_executed_the_command() {
    let loses_final = MockBehavior {
        lose_final: true,
        ..in_chunks(2)
    };
    let late_and_lost = MockBehavior {
        lose_final: true,
        ..fails(MockFailure::Timeout)
    };
    for (behavior, acted) in [
        (instant(), true),
        (fails(MockFailure::Timeout), false),
        (fails(MockFailure::Broken), true),
        (loses_final, true),
        (late_and_lost, false),
    ] {
        let case = format!("{behavior:?}");
        let journal = Journal::in_memory();
        send(&mock_with(behavior, &journal), clear_all()).await;
        let entries = journal.entries().unwrap();
        assert_eq!(summary(&entries), [("ClearDTC", acted)], "{case}");
    }
}

#[tokio::test]
async fn a_hanging_command_is_recorded_as_sent_and_not_executed() {
    for failure in [None, Some(MockFailure::Broken)] {
        let journal = Journal::in_memory();
        let hangs = MockBehavior {
            hang: true,
            failure,
            ..instant()
        };
        let mut stream = mock_with(hangs, &journal)
            .execute(clear_all())
            .await
            .unwrap();
        assert!(stream.next().now_or_never().is_none());
        assert_eq!(summary(&journal.entries().unwrap()), [("ClearDTC", false)]);
    }
}

#[tokio::test]
async fn a_command_is_recorded_before_its_first_chunk_is_due() {
    let journal = Journal::in_memory();
    let slow = mock_with(MockBehavior::default(), &journal);
    let _unread = slow.execute(read_dtc()).await.unwrap();
    assert_eq!(summary(&journal.entries().unwrap()), [("ReadDTC", true)]);
}

#[tokio::test]
async fn memory_retains_the_latest_entries_and_all_cleared_codes() {
    let journal = Journal::in_memory();
    let mock = mock_with(instant(), &journal);
    send(&mock, clear_all()).await;
    for _ in 1..Journal::MEMORY_CAPACITY {
        send(&mock, read_dtc()).await;
    }
    let entries = journal.entries().unwrap();
    assert_eq!(entries.len(), Journal::MEMORY_CAPACITY);
    assert_eq!(entries[0].command_name, "ClearDTC");

    assert!(codes(&mock, read_dtc()).await.is_empty());

    let entries = journal.entries().unwrap();
    assert_eq!(entries.len(), Journal::MEMORY_CAPACITY);
    assert_eq!(entries[0].command_name, "ReadDTC");
    assert!(codes(&mock, read_dtc()).await.is_empty());
}
