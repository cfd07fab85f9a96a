//! Probes: reading the faults again after a clear with an unknown outcome.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use sovd_connector::ConnectorError;
use sovd_domain::{Catalog, Command, CommandId, CommandStatus, FailureKind, Finding};
use sovd_services::commands::Submission;

use crate::{
    fixture::{OFFLINE, TestBed, engineer, submission},
    scripted_connector::{Script, ScriptedConnector, faults},
};

const READ: &str = "ReadDTC";
const CLEAR: &str = "ClearDTC";
const OTHER: &str = "ReadDataByID";

/// Creates a test bed in which the response to a clear is lost. The reads are those of the evidence and
/// of the probe.
async fn with_lost_response(reads: impl Into<Vec<Script>>) -> TestBed {
    let lost = [Script::Truncate(Vec::new())];
    TestBed::new(ScriptedConnector::new().on(CLEAR, lost).on(READ, reads)).await
}

impl TestBed {
    /// Cancels a clear after a crash while sending, so that its probe is pending.
    async fn leave_probe(&self) -> CommandId {
        let command_id = self.submit(CLEAR).await;
        self.crash_while_sending(command_id).await;
        let ended = self.commands.cancel(&engineer(), command_id).await;
        let kind = ended.unwrap().failure_kind;
        assert_eq!(kind, Some(FailureKind::OutcomeUnknown));
        command_id
    }

    /// Waits for the finding, asserts that nothing else of the command changed, and returns the audited
    /// grounds.
    async fn wait_for_finding(&self, command_id: CommandId, finding: Finding) -> Value {
        let unknown = self.wait_for_end(command_id).await;
        let responses = self.responses(command_id).await;
        let found = self
            .wait_until(command_id, |command| command.finding.is_some())
            .await;
        let expected = Command {
            finding: Some(finding),
            ..unknown
        };
        assert_eq!(found, expected);
        assert_eq!(found.status, CommandStatus::Failed);
        assert_eq!(found.failure_kind, Some(FailureKind::OutcomeUnknown));
        assert_eq!(self.responses(command_id).await, responses);
        assert_eq!(self.queue_entry(command_id).await, None);
        let mut probes = self.audit_entries(command_id).await;
        probes.retain(|(action, _)| action == "command.probe");
        assert_eq!(probes.len(), 1);
        let (_, details) = probes.remove(0);
        assert_eq!(details["finding"], json!(finding));
        details["grounds"].clone()
    }
}

#[tokio::test]
async fn compares_the_faults_before_and_after_a_clear() {
    for (code, before, after, finding) in [
        (None, "P0420 U0100", "", Finding::Cleared),
        (None, "P0420", "U0100", Finding::Cleared),
        (None, "P0420 U0100", "P0420 U0100", Finding::NotCleared),
        (None, "P0420 U0100", "U0100", Finding::CannotTell),
        (Some("P0420"), "P0420 U0100", "U0100", Finding::Cleared),
        (Some("P0420"), "P0420 U0100", "P0420", Finding::NotCleared),
    ] {
        let bed = with_lost_response([Script::faults(before), Script::faults(after)]).await;
        let mut clear = submission(CLEAR);
        if let Some(code) = code {
            clear.command_params["dtcCode"] = json!(code);
        }
        let command_id = bed.submit_with(clear).await;
        let running = bed.start_dispatcher();
        let grounds = bed.wait_for_finding(command_id, finding).await;
        running.stop().await;
        let remaining: Vec<_> = after.split_whitespace().collect();
        assert_eq!(grounds, json!({ "faults": remaining }));
        assert_eq!(bed.connector.command_names(), [READ, CLEAR, READ]);
        assert_eq!(bed.responses(command_id).await.len(), 1, "the evidence");
        assert_eq!(
            bed.audit_actions(command_id).await,
            ["command.submit", "command.fail", "command.probe"]
        );
        let published = bed.published(command_id).await;
        assert!(published.last().unwrap().is_terminal());
    }
}

#[tokio::test]
async fn every_lost_response_is_probed() {
    let broken = ConnectorError::Broken { sent: true };
    for script in [
        Script::RespondThenFail(vec![json!({ "progress": 50 })], broken),
        Script::Fail(ConnectorError::Timeout { sent: true }),
        Script::Respond(vec![json!({ "text": "\u{0}" })]),
        Script::Hang(Vec::new()),
    ] {
        let reads = [Script::faults("P0420"), Script::faults("")];
        let connector = ScriptedConnector::new().on(READ, reads);
        let bed = TestBed::new(connector.on(CLEAR, [script.clone()])).await;
        let command_id = bed.submit(CLEAR).await;
        let running = bed.start_dispatcher();
        bed.connector.wait_for_request(CLEAR, 1).await;
        if matches!(script, Script::Hang(_)) {
            bed.advance_past_timeout().await;
        }
        bed.wait_for_finding(command_id, Finding::Cleared).await;
        running.stop().await;
        assert_eq!(
            bed.connector.command_names(),
            [READ, CLEAR, READ],
            "{script:?}"
        );
    }
}

#[tokio::test]
async fn without_evidence_only_a_remaining_named_fault_is_conclusive() {
    for (code, after, finding) in [
        (None, "", Finding::CannotTell),
        (None, "U0100", Finding::CannotTell),
        (Some("P0420"), "U0100", Finding::CannotTell),
        (Some("P0420"), "P0420-11", Finding::NotCleared),
    ] {
        let bed = with_lost_response([Script::faults(after)]).await;
        let mut clear = Submission {
            skip_evidence: true,
            ..submission(CLEAR)
        };
        if let Some(code) = code {
            clear.command_params["dtcCode"] = json!(code);
        }
        let command_id = bed.submit_with(clear).await;
        let running = bed.start_dispatcher();
        bed.wait_for_finding(command_id, finding).await;
        running.stop().await;
        assert_eq!(bed.connector.command_names(), [CLEAR, READ]);
    }
}

#[tokio::test]
async fn a_failed_read_is_inconclusive() {
    let command_name = READ.to_owned();
    let unsupported = Script::Fail(ConnectorError::Unsupported { command_name });
    let no_list = Script::Respond(vec![json!({ "value": "0x00" })]);
    for (script, grounds) in [
        (
            Script::rejection(),
            json!({ "reason": "the vehicle refused: conditions not correct" }),
        ),
        (
            unsupported,
            json!({ "reason": "this connector cannot send ReadDTC" }),
        ),
        (no_list, json!({ "faults": null })),
    ] {
        let bed = with_lost_response([Script::faults("P0420"), script]).await;
        let command_id = bed.submit(CLEAR).await;
        let running = bed.start_dispatcher();
        assert_eq!(
            bed.wait_for_finding(command_id, Finding::CannotTell).await,
            grounds
        );
        running.stop().await;
        assert_eq!(bed.connector.command_names(), [READ, CLEAR, READ]);
    }
}

#[tokio::test]
async fn three_unanswered_reads_are_inconclusive() {
    for script in [Script::Hang(Vec::new()), Script::Truncate(Vec::new())] {
        let bed = with_lost_response([Script::faults("P0420"), script.clone()]).await;
        let command_id = bed.submit(CLEAR).await;
        let running = bed.start_dispatcher();
        for sent in 1..=3 {
            bed.connector.wait_for_request(READ, 1 + sent).await;
            if matches!(script, Script::Hang(_)) {
                bed.advance_past_timeout().await;
            }
            if sent < 3 {
                bed.advance_past_backoff(command_id).await;
            }
        }
        bed.wait_for_finding(command_id, Finding::CannotTell).await;
        running.stop().await;
        assert_eq!(bed.connector.request_count(READ, command_id), 4);
    }
}

#[tokio::test]
async fn a_later_read_is_conclusive() {
    let reads = [
        Script::faults("P0420"),
        Script::Truncate(Vec::new()),
        Script::unreachable(),
        Script::Fail(ConnectorError::Broken { sent: true }),
        Script::faults("P0420"),
    ];
    let bed = with_lost_response(reads).await;
    let command_id = bed.submit(CLEAR).await;
    let running = bed.start_dispatcher();
    for sent in 2..=4 {
        bed.connector.wait_for_request(READ, sent).await;
        bed.advance_past_backoff(command_id).await;
    }
    bed.wait_for_finding(command_id, Finding::NotCleared).await;
    running.stop().await;
}

#[tokio::test]
async fn a_vehicle_unreachable_for_ten_minutes_is_inconclusive() {
    let bed = with_lost_response([Script::faults("P0420"), Script::unreachable()]).await;
    let command_id = bed.submit(CLEAR).await;
    let running = bed.start_dispatcher();
    let ended_at = bed.wait_for_end(command_id).await.completed_at.unwrap();
    for sent in 2..=4 {
        bed.connector.wait_for_request(READ, sent).await;
        bed.advance_past_backoff(command_id).await;
    }
    bed.connector.wait_for_request(READ, 5).await;
    bed.wait_for_retry(command_id).await;
    let window_end = ended_at + TimeDelta::minutes(10);
    let entry = bed.queue_entry(command_id).await.unwrap();
    let expires_at = entry["expires_at"].as_str().unwrap();
    assert_eq!(expires_at.parse(), Ok(window_end));
    bed.advance_past_expiry(command_id).await;
    let grounds = bed.wait_for_finding(command_id, Finding::CannotTell).await;
    running.stop().await;
    let reason = grounds["reason"].as_str().unwrap();
    assert!(reason.contains("no link"), "{reason}");
    assert_eq!(bed.connector.request_count(READ, command_id), 5);
}

#[tokio::test]
async fn does_not_probe_after_ten_minutes() {
    for (early, reads, finding) in [
        (TimeDelta::zero(), 0, Finding::CannotTell),
        (TimeDelta::microseconds(1), 1, Finding::Cleared),
    ] {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        let command_id = bed.leave_probe().await;
        let secured = json!({ "evidence": "before", "chunks": [faults("P0420")] });
        bed.store_responses(command_id, &[secured]).await;
        bed.timer.advance(TimeDelta::minutes(10) - early);
        let running = bed.start_dispatcher();
        bed.wait_for_finding(command_id, finding).await;
        running.stop().await;
        assert_eq!(bed.connector.requests().len(), reads);
    }
}

#[tokio::test]
async fn continues_after_a_crash() {
    for (crashes, reads, finding) in [
        (1, 1, Finding::NotCleared),
        (2, 1, Finding::NotCleared),
        (3, 0, Finding::CannotTell),
    ] {
        let bed = TestBed::new(ScriptedConnector::new().on(READ, [Script::faults("P0420")])).await;
        let clear = bed.leave_probe().await;
        let secured = json!({ "evidence": "before", "chunks": [faults("P0420")] });
        bed.store_responses(clear, &[secured]).await;
        for _ in 0..crashes {
            bed.crash_while_sending(clear).await;
        }
        let running = bed.start_dispatcher();
        bed.wait_for_finding(clear, finding).await;
        running.stop().await;
        assert_eq!(bed.connector.requests().len(), reads, "{crashes} crashes");
    }
}

#[tokio::test]
async fn a_probe_in_progress_at_the_end_of_the_window_is_inconclusive() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let command_id = bed.leave_probe().await;
    bed.crash_while_sending(command_id).await;
    bed.timer.advance(TimeDelta::minutes(10));
    let running = bed.start_dispatcher();
    bed.wait_for_finding(command_id, Finding::CannotTell).await;
    running.stop().await;
    assert!(bed.connector.requests().is_empty());
}

#[tokio::test]
async fn later_commands_wait_for_the_probe() {
    let (feed, slow) = Script::fed();
    let bed = with_lost_response([Script::faults("P0420"), slow]).await;
    bed.connect(OFFLINE).await;
    let clear = bed.submit(CLEAR).await;
    let running = bed.start_dispatcher();
    bed.connector.wait_for_request(READ, 2).await;
    let later = bed.submit(OTHER).await;
    bed.assert_not_claimed(later).await;
    assert_eq!(bed.connector.request_count(OTHER, later), 0);
    feed.last(faults("P0420"));
    bed.wait_for_finding(clear, Finding::NotCleared).await;
    let later = bed.wait_for_end(later).await;
    assert_eq!(later.status, CommandStatus::Completed);
    running.stop().await;
}

#[tokio::test]
async fn only_clears_are_probed() {
    for name in ["WriteDataByID", "StartRoutine"] {
        let connector = ScriptedConnector::new().on(name, [Script::Truncate(Vec::new())]);
        let bed = TestBed::new(connector).await;
        let command_id = bed.submit(name).await;
        let running = bed.start_dispatcher();
        let command = bed.wait_for_end(command_id).await;
        assert_eq!(command.failure_kind, Some(FailureKind::OutcomeUnknown));
        assert_eq!(bed.queue_entry(command_id).await, None);
        running.stop().await;
        assert_eq!(bed.command(command_id).await.finding, None);
        assert_eq!(bed.connector.command_names(), [name]);
        assert_eq!(
            bed.audit_actions(command_id).await,
            ["command.submit", "command.fail"]
        );
    }
}

#[tokio::test]
async fn waits_for_the_settling_time() {
    let mut bed = with_lost_response([Script::faults("P0420"), Script::faults("")]).await;
    bed.parts.catalog = Arc::new(Catalog::standard());
    let command_id = bed.submit(CLEAR).await;
    let running = bed.start_dispatcher();
    let ended_at = bed.wait_for_end(command_id).await.completed_at.unwrap();
    let settled = bed.wait_for_retry(command_id).await;
    assert_eq!(settled, ended_at + TimeDelta::seconds(2));
    assert_eq!(bed.connector.command_names(), [READ, CLEAR]);
    // The next sweep sends the probe.
    bed.timer.advance(TimeDelta::seconds(2));
    bed.wait_for_finding(command_id, Finding::Cleared).await;
    running.stop().await;
}

#[tokio::test]
async fn removes_nul_characters_from_fault_codes() {
    let bed = with_lost_response([Script::faults("P0420"), Script::faults("P\u{0}1")]).await;
    let command_id = bed.submit(CLEAR).await;
    let running = bed.start_dispatcher();
    let grounds = bed.wait_for_finding(command_id, Finding::Cleared).await;
    assert_eq!(grounds, json!({ "faults": ["P1"] }));
    running.stop().await;
}
