//! The table of `docs/command-outcomes.md`, row by row and risk by risk.

use serde_json::{Value, json};
use sovd_connector::ConnectorError;
use sovd_domain::{CommandStatus, FailureKind};
use sovd_services::commands::Submission;

use crate::{
    fixture::{TestBed, submission},
    scripted_connector::{Script, ScriptedConnector},
};

/// A command of each risk. `clearing` tests the evidence of a clear.
const READ: &str = "ReadDataByID";
const CLEAR: &str = "ClearDTC";
const WRITE: &str = "WriteDataByID";
const ACTUATE: &str = "StartRoutine";
const RISKS: [&str; 4] = [READ, CLEAR, WRITE, ACTUATE];

fn plain(name: &str) -> Submission {
    Submission {
        skip_evidence: name == CLEAR,
        ..submission(name)
    }
}

/// Asserts that a command whose every attempt follows `script` is sent `sends` times and ends with `end`.
async fn assert_outcome(name: &str, script: &Script, sends: usize, end: Option<FailureKind>) {
    let bed = TestBed::new(ScriptedConnector::new().on(name, [script.clone()])).await;
    let command_id = bed.submit_with(plain(name)).await;
    let running = bed.start_dispatcher();
    let hangs = matches!(script, Script::Hang(_));
    for sent in 1..=sends {
        bed.connector.wait_for_request(name, sent).await;
        if hangs {
            bed.advance_past_timeout().await;
        }
        if sent < sends {
            bed.advance_past_backoff(command_id).await;
        }
    }
    let command = bed.wait_for_end(command_id).await;
    assert_eq!(command.failure_kind, end, "{name} {script:?}");
    assert_eq!(command.error_message.is_some(), end.is_some());
    assert_eq!(
        command.status,
        end.map_or(CommandStatus::Completed, |_| CommandStatus::Failed)
    );
    running.stop().await;
    assert_eq!(
        bed.connector.request_count(name, command_id),
        sends,
        "{name}"
    );
    bed.assert_audited_once(command_id, end).await;
}

fn chunk() -> Vec<Value> {
    vec![json!({ "value": "1" })]
}

#[tokio::test]
async fn completes_with_the_final_chunk() {
    for name in RISKS {
        assert_outcome(name, &Script::Respond(chunk()), 1, None).await;
    }
}

#[tokio::test]
async fn rejected_by_the_vehicle() {
    for name in RISKS {
        let reason = "conditions not correct".to_owned();
        let script = Script::Fail(ConnectorError::Rejected { reason });
        assert_outcome(name, &script, 1, Some(FailureKind::Rejected)).await;
    }
}

#[tokio::test]
async fn not_supported_by_the_connector() {
    for name in RISKS {
        let command_name = name.to_owned();
        let script = Script::Fail(ConnectorError::Unsupported { command_name });
        assert_outcome(name, &script, 1, Some(FailureKind::Unreachable)).await;
    }
}

#[tokio::test]
async fn sent_and_not_answered_in_time() {
    for script in [
        Script::Hang(Vec::new()),
        Script::Hang(chunk()),
        Script::Fail(ConnectorError::Timeout { sent: true }),
        Script::RespondThenFail(chunk(), ConnectorError::Timeout { sent: true }),
    ] {
        for name in RISKS {
            let (sends, end) = match name {
                READ => (3, Some(FailureKind::Timeout)),
                _ => (1, Some(FailureKind::OutcomeUnknown)),
            };
            assert_outcome(name, &script, sends, end).await;
        }
    }
}

#[tokio::test]
async fn sent_and_the_connection_broke() {
    for script in [
        Script::Fail(ConnectorError::Broken { sent: true }),
        Script::RespondThenFail(chunk(), ConnectorError::Broken { sent: true }),
        Script::Truncate(chunk()),
        Script::Truncate(Vec::new()),
    ] {
        for name in RISKS {
            let sends = if name == READ { 3 } else { 1 };
            assert_outcome(name, &script, sends, Some(FailureKind::OutcomeUnknown)).await;
        }
    }
}

#[tokio::test]
async fn response_cannot_be_stored() {
    for name in RISKS {
        let script = Script::Respond(vec![json!({ "text": "\u{0}" })]);
        let end = match name {
            READ => Some(FailureKind::Internal),
            _ => Some(FailureKind::OutcomeUnknown),
        };
        assert_outcome(name, &script, 1, end).await;
    }
}

#[tokio::test]
async fn not_sent_before_it_expired() {
    let reason = || "no link".to_owned();
    for error in [
        ConnectorError::Unreachable { reason: reason() },
        ConnectorError::Timeout { sent: false },
        ConnectorError::Broken { sent: false },
    ] {
        for name in RISKS {
            let script = Script::Fail(error.clone());
            let bed = TestBed::new(ScriptedConnector::new().on(name, [script])).await;
            let command_id = bed.submit_with(plain(name)).await;
            let running = bed.start_dispatcher();
            for attempt in 1..=4 {
                bed.connector.wait_for_request(name, attempt).await;
                bed.advance_past_backoff(command_id).await;
            }
            bed.connector.wait_for_request(name, 5).await;
            bed.advance_past_expiry(command_id).await;
            let command = bed.wait_for_end(command_id).await;
            assert_eq!(
                command.failure_kind,
                Some(FailureKind::Expired),
                "{name} {error:?}"
            );
            let message = command.error_message.unwrap();
            assert!(message.contains(&error.to_string()), "{message}");
            running.stop().await;
            bed.assert_audited_once(command_id, Some(FailureKind::Expired))
                .await;
        }
    }
}

#[tokio::test]
async fn expired_while_the_vehicle_was_disconnected() {
    for name in RISKS {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        let offline = Submission {
            vehicle_id: crate::fixture::OFFLINE,
            queue_if_offline: true,
            ..plain(name)
        };
        let command_id = bed.submit_with(offline).await;
        let running = bed.start_dispatcher();
        bed.advance_past_expiry(command_id).await;
        let command = bed.wait_for_end(command_id).await;
        assert_eq!(command.failure_kind, Some(FailureKind::Expired), "{name}");
        assert_eq!(command.started_at, None);
        running.stop().await;
        assert!(bed.connector.requests().is_empty());
    }
}

#[tokio::test]
async fn crash_before_sending() {
    for name in RISKS {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        let command_id = bed.submit_with(plain(name)).await;
        for _ in 0..5 {
            bed.crash_before_sending(command_id).await;
        }
        let running = bed.start_dispatcher();
        assert_eq!(
            bed.wait_for_end(command_id).await.failure_kind,
            None,
            "{name}"
        );
        assert_eq!(bed.connector.request_count(name, command_id), 1);
        running.stop().await;
    }
}

#[tokio::test]
async fn crash_after_sending() {
    for name in RISKS {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        let command_id = bed.submit_with(plain(name)).await;
        bed.crash_while_sending(command_id).await;
        let running = bed.start_dispatcher();
        let (sends, end) = match name {
            READ => (1, None),
            _ => (0, Some(FailureKind::OutcomeUnknown)),
        };
        assert_eq!(
            bed.wait_for_end(command_id).await.failure_kind,
            end,
            "{name}"
        );
        assert_eq!(bed.connector.request_count(name, command_id), sends);
        running.stop().await;
        bed.assert_audited_once(command_id, end).await;
    }
}

#[tokio::test]
async fn three_crashes_after_sending() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let command_id = bed.submit_with(plain(READ)).await;
    for _ in 0..3 {
        bed.crash_while_sending(command_id).await;
    }
    let running = bed.start_dispatcher();
    let command = bed.wait_for_end(command_id).await;
    assert_eq!(command.failure_kind, Some(FailureKind::OutcomeUnknown));
    assert_eq!(bed.connector.request_count(READ, command_id), 0);
    running.stop().await;
}

#[tokio::test]
async fn expired_between_two_attempts() {
    let script = Script::Fail(ConnectorError::Broken { sent: true });
    let bed = TestBed::new(ScriptedConnector::new().on(READ, [script])).await;
    let command_id = bed.submit_with(plain(READ)).await;
    let running = bed.start_dispatcher();
    bed.connector.wait_for_request(READ, 1).await;
    bed.wait_for_retry(command_id).await;
    bed.advance_past_expiry(command_id).await;
    let command = bed.wait_for_end(command_id).await;
    assert_eq!(
        command.failure_kind,
        Some(FailureKind::Timeout),
        "it was sent"
    );
    assert_eq!(bed.connector.request_count(READ, command_id), 1);
    running.stop().await;
}

#[tokio::test]
async fn internal_failure_before_sending() {
    for name in RISKS {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        let nowhere = "UPDATE vehicles SET metadata = '{\"connector\": \"carrier-pigeon\"}'";
        bed.sql().await.execute(nowhere, &[]).await.unwrap();
        let fresh = bed.submit_with(plain(name)).await;
        let running = bed.start_dispatcher();
        let command = bed.wait_for_end(fresh).await;
        assert_eq!(command.failure_kind, Some(FailureKind::Internal), "{name}");
        assert!(command.error_message.unwrap().contains("carrier-pigeon"));
        running.stop().await;
    }
}

#[tokio::test]
async fn internal_failure_after_sending() {
    for name in RISKS {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        let command_id = bed.submit_with(plain(name)).await;
        bed.crash_while_sending(command_id).await;
        let nowhere = "UPDATE vehicles SET metadata = '{\"connector\": \"carrier-pigeon\"}'";
        bed.sql().await.execute(nowhere, &[]).await.unwrap();
        let running = bed.start_dispatcher();
        let command = bed.wait_for_end(command_id).await;
        let unknown = Some(FailureKind::OutcomeUnknown);
        assert_eq!(command.failure_kind, unknown, "{name}");
        running.stop().await;
        bed.assert_audited_once(command_id, unknown).await;
    }
}

#[tokio::test]
async fn a_read_completes_after_failed_attempts() {
    let scripts = [
        Script::Fail(ConnectorError::Unreachable {
            reason: "no link".to_owned(),
        }),
        Script::Truncate(chunk()),
        Script::Fail(ConnectorError::Timeout { sent: true }),
        Script::Respond(chunk()),
    ];
    let bed = TestBed::new(ScriptedConnector::new().on(READ, scripts)).await;
    let command_id = bed.submit_with(plain(READ)).await;
    let running = bed.start_dispatcher();
    for attempt in 1..=3 {
        bed.connector.wait_for_request(READ, attempt).await;
        bed.advance_past_backoff(command_id).await;
    }
    assert_eq!(
        bed.wait_for_end(command_id).await.status,
        CommandStatus::Completed
    );
    let numbers: Vec<_> = bed
        .responses(command_id)
        .await
        .iter()
        .map(|response| (response.sequence_number, response.is_final))
        .collect();
    assert_eq!(numbers, [(1, false), (2, true)]);
    running.stop().await;
}
