use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use sovd_connector::{Connector, ConnectorError, MockBehaviour, MockFailure};

use crate::setup::{
    answer, answer_of, clear_all, codes, fails, in_chunks, instant, mock, read_dtc, request,
};

#[tokio::test]
async fn failures_say_whether_the_command_was_sent() {
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
        lose_final: true,
        ..in_chunks(3)
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

#[tokio::test]
async fn only_the_named_commands_misbehave() {
    let only = || vec!["ClearDTC".to_owned(), "ReadDataByID".to_owned()];
    let read_vin = || {
        request(
            "ReadDataByID",
            json!({ "ecuAddress": "0x10", "dataId": "0xF190" }),
        )
    };

    let refuses = mock(MockBehaviour {
        only: only(),
        ..fails(MockFailure::Rejected)
    });
    assert!(refuses.execute(clear_all()).await.is_err());
    assert!(refuses.execute(read_vin()).await.is_err());
    assert_eq!(codes(&refuses, read_dtc()).await.len(), 3);

    let hangs = mock(MockBehaviour {
        hang: true,
        only: only(),
        ..instant()
    });
    let mut stream = hangs.execute(clear_all()).await.unwrap();
    assert!(stream.next().now_or_never().is_none());
    assert_eq!(codes(&hangs, read_dtc()).await.len(), 3);

    let loses = mock(MockBehaviour {
        lose_final: true,
        only: only(),
        ..in_chunks(2)
    });
    assert_eq!(answer_of(&loses, clear_all()).await.len(), 1);
    assert_eq!(answer_of(&loses, read_dtc()).await.len(), 2);
}

#[tokio::test]
async fn a_command_that_no_vehicle_speaks_is_unsupported_however_the_mock_fails() {
    for failure in [MockFailure::Unreachable, MockFailure::Rejected] {
        let error = mock(fails(failure))
            .execute(request("NoSuchCommand", json!({})))
            .await
            .err()
            .unwrap();
        assert!(matches!(error, ConnectorError::Unsupported { .. }));
    }
}
