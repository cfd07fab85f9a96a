use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use sovd_connector::{Connector, ConnectorError, MockBehavior, MockFailure};

use crate::setup::{
    clear_all, codes, execute, fails, in_chunks, instant, mock, read_dtc, request, respond,
};

#[tokio::test]
async fn failures_report_whether_the_command_was_sent() {
    let rejected = mock(fails(MockFailure::Rejected))
        .execute(read_dtc())
        .await
        .err()
        .unwrap();
    assert!(matches!(rejected, ConnectorError::Rejected { .. }));
    assert!(!rejected.may_have_acted());
    let unreachable = mock(fails(MockFailure::Unreachable))
        .execute(read_dtc())
        .await
        .err()
        .unwrap();
    assert!(matches!(unreachable, ConnectorError::Unreachable { .. }));
    assert!(!unreachable.may_have_acted());
    let late = respond(fails(MockFailure::Timeout), read_dtc()).await;
    assert_eq!(late, vec![Err(ConnectorError::Timeout { sent: true })]);
    let broken = respond(fails(MockFailure::Broken), read_dtc()).await;
    assert_eq!(broken.len(), 2);
    assert!(broken[0].is_ok());
    assert_eq!(broken[1], Err(ConnectorError::Broken { sent: true }));
}

#[tokio::test]
async fn a_lost_final_chunk_truncates_the_stream() {
    let lossy = MockBehavior {
        lose_final: true,
        ..in_chunks(3)
    };
    let chunks = respond(lossy, read_dtc()).await;
    assert_eq!(chunks.len(), 2);
    assert!(chunks.iter().all(|chunk| !chunk.as_ref().unwrap().is_final));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_command_receives_no_response() {
    let mut stream = mock(MockBehavior {
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
async fn failures_apply_only_to_the_named_commands() {
    let only = || vec!["ClearDTC".to_owned(), "ReadDataByID".to_owned()];
    let read_vin = || {
        request(
            "ReadDataByID",
            json!({ "ecuAddress": "0x10", "dataId": "0xF190" }),
        )
    };

    let rejecting = mock(MockBehavior {
        only: only(),
        ..fails(MockFailure::Rejected)
    });
    assert!(rejecting.execute(clear_all()).await.is_err());
    assert!(rejecting.execute(read_vin()).await.is_err());
    assert_eq!(codes(&rejecting, read_dtc()).await.len(), 3);

    let hanging = mock(MockBehavior {
        hang: true,
        only: only(),
        ..instant()
    });
    let mut stream = hanging.execute(clear_all()).await.unwrap();
    assert!(stream.next().now_or_never().is_none());
    assert_eq!(codes(&hanging, read_dtc()).await.len(), 3);

    let lossy = mock(MockBehavior {
        lose_final: true,
        only: only(),
        ..in_chunks(2)
    });
    assert_eq!(execute(&lossy, clear_all()).await.len(), 1);
    assert_eq!(execute(&lossy, read_dtc()).await.len(), 2);
}

#[tokio::test]
async fn an_unknown_command_is_unsupported_regardless_of_the_failure() {
    for failure in [MockFailure::Unreachable, MockFailure::Rejected] {
        let error = mock(fails(failure))
            .execute(request("NoSuchCommand", json!({})))
            .await
            .err()
            .unwrap();
        assert!(matches!(error, ConnectorError::Unsupported { .. }));
    }
}
