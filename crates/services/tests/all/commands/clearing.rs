//! Clearing faults: the faults are recorded before, and the remaining faults after the clear.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use sovd_connector::ConnectorError;
use sovd_domain::{CommandId, CommandStatus, FailureKind, StreamEvent};
use sovd_services::{ServiceError, commands::Submission};

use crate::{
    fixture::{TestBed, engineer, submission},
    scripted_connector::{Script, ScriptedConnector, faults},
};

const READ: &str = "ReadDTC";
const CLEAR: &str = "ClearDTC";

/// Returns the chunk that records a read in the response to a clear.
fn evidence(mark: &str, chunks: &[Value]) -> Value {
    json!({ "evidence": mark, "command_name": READ, "chunks": chunks })
}

fn nul() -> Script {
    Script::Respond(vec![json!({ "text": "\u{0}" })])
}

fn fail(error: ConnectorError) -> Script {
    Script::Fail(error)
}

/// Returns every way in which a read reaches the vehicle and fails, with a part of the reason.
fn failed_reads() -> Vec<(Script, &'static str)> {
    let part = || vec![faults("P0420")];
    let unsupported = ConnectorError::Unsupported {
        command_name: READ.to_owned(),
    };
    let broken = ConnectorError::Broken { sent: true };
    let timeout = ConnectorError::Timeout { sent: true };
    vec![
        (Script::rejection(), "conditions not correct"),
        (fail(timeout), "no answer in time"),
        (fail(broken.clone()), "the connection broke"),
        (
            Script::RespondThenFail(part(), broken),
            "the connection broke",
        ),
        (Script::Truncate(part()), "ended before its final chunk"),
        (Script::Hang(Vec::new()), "no answer in time"),
        (Script::Hang(part()), "no answer in time"),
        (fail(unsupported), "cannot send ReadDTC"),
        (nul(), "could not be stored"),
    ]
}

/// Returns every way in which a read does not reach the vehicle, with a part of the reason.
fn unsent_reads() -> Vec<(Script, &'static str)> {
    vec![
        (Script::unreachable(), "no link"),
        (
            fail(ConnectorError::Timeout { sent: false }),
            "no answer in time",
        ),
        (
            fail(ConnectorError::Broken { sent: false }),
            "the connection broke",
        ),
    ]
}

impl TestBed {
    /// Returns the chunks of the response with their numbers, and whether each is final.
    async fn parts(&self, command_id: CommandId) -> Vec<(i32, Value, bool)> {
        let responses = self.responses(command_id).await;
        responses
            .into_iter()
            .map(|response| {
                let number = response.sequence_number;
                (number, response.response_payload, response.is_final)
            })
            .collect()
    }
}

#[tokio::test]
async fn reads_the_faults_before_and_after() {
    let before = [json!({ "ecu_address": "0x10" }), faults("P0420 U0100")];
    let own = [json!({ "progress": 50 }), json!({ "cleared": true })];
    let after = [faults("U0100")];
    let reads = [
        Script::Respond(before.to_vec()),
        Script::Respond(after.to_vec()),
    ];
    let connector = ScriptedConnector::new().on(READ, reads);
    let bed = TestBed::new(connector.on(CLEAR, [Script::Respond(own.to_vec())])).await;
    let one_fault = Submission {
        command_params: json!({ "ecuAddress": "0x7E8A", "dtcCode": "P0420" }),
        ..submission(CLEAR)
    };
    let command_id = bed.submit_with(one_fault).await;
    let running = bed.start_dispatcher();
    let command = bed.wait_for_end(command_id).await;
    running.stop().await;
    assert_eq!(command.status, CommandStatus::Completed);
    bed.assert_audited_once(command_id, None).await;

    let asked = bed.connector.requests();
    let sent: Vec<_> = asked
        .iter()
        .map(|request| (request.command_name.as_str(), &request.params))
        .collect();
    let read = json!({ "ecuAddress": "0x7E8A" });
    let clear = &command.command_params;
    assert_eq!(sent, [(READ, &read), (CLEAR, clear), (READ, &read)]);

    let [first, second] = own;
    let parts = [
        (1, evidence("before", &before), false),
        (2, first, false),
        (3, second, false),
        (4, evidence("after", &after), true),
    ];
    assert_eq!(bed.parts(command_id).await, parts);

    let mut events = vec![StreamEvent::Status {
        command_id,
        status: CommandStatus::InProgress,
        completed_at: None,
    }];
    let responses = bed.responses(command_id).await;
    events.extend(responses.into_iter().map(StreamEvent::from));
    events.extend(StreamEvent::of_state(&command));
    assert_eq!(bed.published(command_id).await, events);
}

#[tokio::test]
async fn does_not_clear_without_evidence() {
    for (script, reason) in failed_reads() {
        let bed = TestBed::new(ScriptedConnector::new().on(READ, [script.clone()])).await;
        let command_id = bed.submit(CLEAR).await;
        let running = bed.start_dispatcher();
        bed.connector.wait_for_request(READ, 1).await;
        if matches!(script, Script::Hang(_)) {
            bed.advance_past_timeout().await;
        }
        let command = bed.wait_for_end(command_id).await;
        running.stop().await;
        let kind = Some(FailureKind::Rejected);
        assert_eq!(command.failure_kind, kind, "{script:?}");
        let message = command.error_message.unwrap();
        assert!(message.contains(reason), "{message}");
        assert_eq!(bed.connector.command_names(), [READ], "{script:?}");
        assert!(bed.responses(command_id).await.is_empty());
        assert_eq!(bed.queue_entry(command_id).await, None);
        bed.assert_audited_once(command_id, kind).await;
    }
}

#[tokio::test]
async fn retries_unsent_evidence_until_the_command_expires() {
    for (script, reason) in unsent_reads() {
        let bed = TestBed::new(ScriptedConnector::new().on(READ, [script])).await;
        let command_id = bed.submit(CLEAR).await;
        let running = bed.start_dispatcher();
        for attempt in 1..=3 {
            bed.connector.wait_for_request(READ, attempt).await;
            bed.advance_past_backoff(command_id).await;
        }
        bed.connector.wait_for_request(READ, 4).await;
        bed.advance_past_expiry(command_id).await;
        let command = bed.wait_for_end(command_id).await;
        running.stop().await;
        let kind = Some(FailureKind::Expired);
        assert_eq!(command.failure_kind, kind);
        let message = command.error_message.unwrap();
        assert!(message.contains(reason), "{message}");
        assert_eq!(bed.connector.command_names(), [READ; 4]);
        bed.assert_audited_once(command_id, kind).await;
    }
}

#[tokio::test]
async fn clears_once_the_evidence_is_read() {
    let reads = [Script::unreachable(), Script::faults("P0420")];
    let bed = TestBed::new(ScriptedConnector::new().on(READ, reads)).await;
    let command_id = bed.submit(CLEAR).await;
    let running = bed.start_dispatcher();
    bed.advance_past_backoff(command_id).await;
    let command = bed.wait_for_end(command_id).await;
    running.stop().await;
    assert_eq!(command.status, CommandStatus::Completed);
    assert_eq!(bed.connector.command_names(), [READ, READ, CLEAR, READ]);
}

#[tokio::test]
async fn an_unsent_clear_reads_the_evidence_again() {
    let connector = ScriptedConnector::new().on(CLEAR, [Script::unreachable(), Script::faults("")]);
    let reads = [
        Script::faults("P0420"),
        Script::faults("P0420 U0100"),
        Script::faults(""),
    ];
    let bed = TestBed::new(connector.on(READ, reads)).await;
    let command_id = bed.submit(CLEAR).await;
    let running = bed.start_dispatcher();
    bed.advance_past_backoff(command_id).await;
    assert_eq!(bed.wait_for_end(command_id).await.failure_kind, None);
    running.stop().await;
    assert_eq!(
        bed.connector.command_names(),
        [READ, CLEAR, READ, CLEAR, READ]
    );
    let parts = bed.parts(command_id).await;
    assert_eq!(parts.len(), 4);
    assert_eq!(parts[0].1, evidence("before", &[faults("P0420")]));
    assert_eq!(parts[1].1, evidence("before", &[faults("P0420 U0100")]));
}

#[tokio::test]
async fn skipped_evidence_is_audited() {
    for (skip_evidence, sent) in [
        (true, [CLEAR, READ].as_slice()),
        (false, [READ, CLEAR, READ].as_slice()),
    ] {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        let clear = Submission {
            skip_evidence,
            ..submission(CLEAR)
        };
        let command_id = bed.submit_with(clear).await;
        let running = bed.start_dispatcher();
        assert_eq!(bed.wait_for_end(command_id).await.failure_kind, None);
        running.stop().await;
        assert_eq!(bed.connector.command_names(), sent);
        let (action, details) = bed.audit_entries(command_id).await.remove(0);
        assert_eq!(action, "command.submit");
        assert_eq!(details["skip_evidence"], json!(skip_evidence));
    }
}

#[tokio::test]
async fn a_command_without_evidence_cannot_skip_it() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    for name in [READ, "WriteDataByID"] {
        let read = Submission {
            skip_evidence: true,
            ..submission(name)
        };
        let refused = bed.commands.submit(&engineer(), read).await;
        let Err(ServiceError::Invalid(errors)) = refused else {
            panic!("{name}: {refused:?}");
        };
        let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/skip_evidence"], "{name}");
    }
}

#[tokio::test]
async fn completes_although_the_report_cannot_be_read() {
    for (script, reason) in failed_reads().into_iter().chain(unsent_reads()) {
        let reads = [Script::faults("P0420"), script.clone()];
        let bed = TestBed::new(ScriptedConnector::new().on(READ, reads)).await;
        let command_id = bed.submit(CLEAR).await;
        let running = bed.start_dispatcher();
        bed.connector.wait_for_request(READ, 2).await;
        if matches!(script, Script::Hang(_)) {
            bed.advance_past_timeout().await;
        }
        let command = bed.wait_for_end(command_id).await;
        running.stop().await;
        assert_eq!(command.status, CommandStatus::Completed, "{script:?}");
        assert_eq!(
            bed.connector.command_names(),
            [READ, CLEAR, READ],
            "{script:?}"
        );
        let parts = bed.parts(command_id).await;
        let finals: Vec<_> = parts.iter().map(|(_, _, is_final)| *is_final).collect();
        assert_eq!(finals, [false, false, true], "{script:?}");
        let report = &parts[2].1;
        assert_eq!(report["evidence"], "after");
        assert_eq!(report.get("chunks"), None);
        let error = report["error"].as_str().unwrap();
        assert!(error.contains(reason), "{error}");
        bed.assert_audited_once(command_id, None).await;
    }
}

#[tokio::test]
async fn a_clear_expires_while_its_evidence_is_read() {
    let microsecond = TimeDelta::microseconds(1);
    for (early, kind, sends) in [
        (TimeDelta::zero(), Some(FailureKind::Expired), 0),
        (microsecond, None, 1),
    ] {
        let (feed, slow) = Script::fed();
        let reads = [slow, Script::faults("")];
        let bed = TestBed::new(ScriptedConnector::new().on(READ, reads)).await;
        let short_lived = Submission {
            expires_in: Some(Duration::from_secs(10)),
            ..submission(CLEAR)
        };
        let command_id = bed.submit_with(short_lived).await;
        let running = bed.start_dispatcher();
        bed.connector.wait_for_request(READ, 1).await;
        bed.timer.advance(TimeDelta::seconds(10) - early);
        feed.last(faults("P0420"));
        let command = bed.wait_for_end(command_id).await;
        running.stop().await;
        assert_eq!(command.failure_kind, kind, "{early}");
        assert_eq!(bed.connector.request_count(CLEAR, command_id), sends);
        bed.assert_audited_once(command_id, kind).await;
    }
}

#[tokio::test]
async fn a_crash_before_sending_reads_the_evidence_again() {
    let bed = TestBed::new(ScriptedConnector::new().on(READ, [Script::faults("P0420")])).await;
    let command_id = bed.submit(CLEAR).await;
    bed.crash_before_sending(command_id).await;
    let earlier = evidence("before", &[faults("U0100")]);
    bed.store_responses(command_id, &[earlier]).await;
    let running = bed.start_dispatcher();
    let command = bed.wait_for_end(command_id).await;
    running.stop().await;
    assert_eq!(command.status, CommandStatus::Completed);
    assert_eq!(bed.connector.command_names(), [READ, CLEAR, READ]);
    let parts = bed.parts(command_id).await;
    let (number, again, _) = &parts[1];
    let read = evidence("before", &[faults("P0420")]);
    assert_eq!((*number, again), (2, &read));
    bed.assert_audited_once(command_id, None).await;
}

#[tokio::test]
async fn a_crash_after_sending_does_not_send_again() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let command_id = bed.submit(CLEAR).await;
    bed.crash_while_sending(command_id).await;
    let running = bed.start_dispatcher();
    let command = bed.wait_for_end(command_id).await;
    running.stop().await;
    let kind = Some(FailureKind::OutcomeUnknown);
    assert_eq!(command.failure_kind, kind);
    assert_eq!(bed.connector.request_count(CLEAR, command_id), 0);
    bed.assert_audited_once(command_id, kind).await;
}

#[tokio::test]
async fn a_crash_before_the_report_repeats_only_the_report() {
    let bed = TestBed::new(ScriptedConnector::new().on(READ, [Script::faults("U0100")])).await;
    let command_id = bed.submit(CLEAR).await;
    let stored = [
        evidence("before", &[faults("P0420 U0100")]),
        json!({ "cleared": true }),
    ];
    bed.crash_after_response(command_id, &stored).await;
    let running = bed.start_dispatcher();
    let command = bed.wait_for_end(command_id).await;
    running.stop().await;
    assert_eq!(command.status, CommandStatus::Completed);
    assert_eq!(bed.connector.command_names(), [READ]);
    let report = (3, evidence("after", &[faults("U0100")]), true);
    assert_eq!(bed.parts(command_id).await.last(), Some(&report));
    bed.assert_audited_once(command_id, None).await;
}
