//! Looking again after a clearing of which nobody knows whether it ran.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use sovd_connector::ConnectorError;
use sovd_domain::{Catalog, Command, CommandId, CommandStatus, FailureKind, Finding};
use sovd_services::commands::Submission;

use crate::{
    fixture::{OFFLINE, Rig, engineer, submission},
    scripted_connector::{Script, Scripted, faults},
};

const READ: &str = "ReadDTC";
const CLEAR: &str = "ClearDTC";
const OTHER: &str = "ReadDataByID";

/// A clearing whose answer gets lost; the readings are its evidence and then its probe's.
async fn losing_the_answer(readings: impl Into<Vec<Script>>) -> Rig {
    let lost = [Script::CutShort(Vec::new())];
    Rig::new(Scripted::new().on(CLEAR, lost).on(READ, readings)).await
}

impl Rig {
    /// A clearing that was sent by a process that died, and called off since: its probe waits.
    async fn leave_probe(&self) -> CommandId {
        let command_id = self.submit(CLEAR).await;
        self.crash_while_sending(command_id).await;
        let ended = self.commands.cancel(&engineer(), command_id).await;
        let kind = ended.unwrap().failure_kind;
        assert_eq!(kind, Some(FailureKind::OutcomeUnknown));
        command_id
    }

    /// Waits for the finding, and makes sure that it changed nothing else of the command. Gives
    /// what the audit trail has on it.
    async fn finds(&self, command_id: CommandId, finding: Finding) -> Value {
        let unknown = self.ended(command_id).await;
        let responses = self.responses(command_id).await;
        let found = self
            .becomes(command_id, |command| command.finding.is_some())
            .await;
        let expected = Command {
            finding: Some(finding),
            ..unknown
        };
        assert_eq!(found, expected);
        assert_eq!(found.status, CommandStatus::Failed);
        assert_eq!(found.failure_kind, Some(FailureKind::OutcomeUnknown));
        assert_eq!(self.responses(command_id).await, responses);
        assert_eq!(self.entry(command_id).await, None);
        let mut probes = self.audited(command_id).await;
        probes.retain(|(action, _)| action == "command.probe");
        assert_eq!(probes.len(), 1);
        let (_, details) = probes.remove(0);
        assert_eq!(details["finding"], json!(finding));
        details["grounds"].clone()
    }
}

#[tokio::test]
async fn two_readings_show_what_became_of_a_clearing() {
    for (code, before, after, finding) in [
        (None, "P0420 U0100", "", Finding::Cleared),
        (None, "P0420", "U0100", Finding::Cleared),
        (None, "P0420 U0100", "P0420 U0100", Finding::NotCleared),
        (None, "P0420 U0100", "U0100", Finding::CannotTell),
        (Some("P0420"), "P0420 U0100", "U0100", Finding::Cleared),
        (Some("P0420"), "P0420 U0100", "P0420", Finding::NotCleared),
    ] {
        let rig = losing_the_answer([Script::faults(before), Script::faults(after)]).await;
        let mut clearing = submission(CLEAR);
        if let Some(code) = code {
            clearing.command_params["dtcCode"] = json!(code);
        }
        let command_id = rig.send(clearing).await;
        let running = rig.dispatch();
        let grounds = rig.finds(command_id, finding).await;
        running.stop().await;
        let left: Vec<_> = after.split_whitespace().collect();
        assert_eq!(grounds, json!({ "faults": left }));
        assert_eq!(rig.connector.names(), [READ, CLEAR, READ]);
        assert_eq!(rig.responses(command_id).await.len(), 1, "the evidence");
        assert_eq!(
            rig.actions(command_id).await,
            ["command.submit", "command.fail", "command.probe"]
        );
        let published = rig.published(command_id).await;
        assert!(published.last().unwrap().is_terminal());
    }
}

#[tokio::test]
async fn every_lost_answer_is_looked_into() {
    let broken = ConnectorError::Broken { sent: true };
    for script in [
        Script::Break(vec![json!({ "progress": 50 })], broken),
        Script::Fail(ConnectorError::Timeout { sent: true }),
        Script::Answer(vec![json!({ "text": "\u{0}" })]),
        Script::Hang(Vec::new()),
    ] {
        let readings = [Script::faults("P0420"), Script::faults("")];
        let connector = Scripted::new().on(READ, readings);
        let rig = Rig::new(connector.on(CLEAR, [script.clone()])).await;
        let command_id = rig.submit(CLEAR).await;
        let running = rig.dispatch();
        rig.connector.was_sent(CLEAR, 1).await;
        if matches!(script, Script::Hang(_)) {
            rig.pass_timeout().await;
        }
        rig.finds(command_id, Finding::Cleared).await;
        running.stop().await;
        assert_eq!(rig.connector.names(), [READ, CLEAR, READ], "{script:?}");
    }
}

#[tokio::test]
async fn without_evidence_only_a_named_fault_that_is_left_tells() {
    for (code, after, finding) in [
        (None, "", Finding::CannotTell),
        (None, "U0100", Finding::CannotTell),
        (Some("P0420"), "U0100", Finding::CannotTell),
        (Some("P0420"), "P0420-11", Finding::NotCleared),
    ] {
        let rig = losing_the_answer([Script::faults(after)]).await;
        let mut clearing = Submission {
            skip_evidence: true,
            ..submission(CLEAR)
        };
        if let Some(code) = code {
            clearing.command_params["dtcCode"] = json!(code);
        }
        let command_id = rig.send(clearing).await;
        let running = rig.dispatch();
        rig.finds(command_id, finding).await;
        running.stop().await;
        assert_eq!(rig.connector.names(), [CLEAR, READ]);
    }
}

#[tokio::test]
async fn a_reading_that_yields_nothing_cannot_tell() {
    let command_name = READ.to_owned();
    let unsupported = Script::Fail(ConnectorError::Unsupported { command_name });
    let no_list = Script::Answer(vec![json!({ "value": "0x00" })]);
    for (script, grounds) in [
        (
            Script::refuse(),
            json!({ "reason": "the vehicle refused: conditions not correct" }),
        ),
        (
            unsupported,
            json!({ "reason": "this connector cannot send ReadDTC" }),
        ),
        (no_list, json!({ "faults": null })),
    ] {
        let rig = losing_the_answer([Script::faults("P0420"), script]).await;
        let command_id = rig.submit(CLEAR).await;
        let running = rig.dispatch();
        assert_eq!(rig.finds(command_id, Finding::CannotTell).await, grounds);
        running.stop().await;
        assert_eq!(rig.connector.names(), [READ, CLEAR, READ]);
    }
}

#[tokio::test]
async fn three_readings_without_an_answer_cannot_tell() {
    for script in [Script::Hang(Vec::new()), Script::CutShort(Vec::new())] {
        let rig = losing_the_answer([Script::faults("P0420"), script.clone()]).await;
        let command_id = rig.submit(CLEAR).await;
        let running = rig.dispatch();
        for sent in 1..=3 {
            rig.connector.was_sent(READ, 1 + sent).await;
            if matches!(script, Script::Hang(_)) {
                rig.pass_timeout().await;
            }
            if sent < 3 {
                rig.pass_pause(command_id).await;
            }
        }
        rig.finds(command_id, Finding::CannotTell).await;
        running.stop().await;
        assert_eq!(rig.connector.executions(READ, command_id), 4);
    }
}

#[tokio::test]
async fn an_answer_to_the_second_or_third_reading_is_good_enough() {
    let readings = [
        Script::faults("P0420"),
        Script::CutShort(Vec::new()),
        Script::no_link(),
        Script::Fail(ConnectorError::Broken { sent: true }),
        Script::faults("P0420"),
    ];
    let rig = losing_the_answer(readings).await;
    let command_id = rig.submit(CLEAR).await;
    let running = rig.dispatch();
    for sent in 2..=4 {
        rig.connector.was_sent(READ, sent).await;
        rig.pass_pause(command_id).await;
    }
    rig.finds(command_id, Finding::NotCleared).await;
    running.stop().await;
}

#[tokio::test]
async fn a_vehicle_that_stays_away_for_ten_minutes_cannot_tell() {
    let rig = losing_the_answer([Script::faults("P0420"), Script::no_link()]).await;
    let command_id = rig.submit(CLEAR).await;
    let running = rig.dispatch();
    let ended_at = rig.ended(command_id).await.completed_at.unwrap();
    for sent in 2..=4 {
        rig.connector.was_sent(READ, sent).await;
        rig.pass_pause(command_id).await;
    }
    rig.connector.was_sent(READ, 5).await;
    rig.is_put_off(command_id).await;
    let window_end = ended_at + TimeDelta::minutes(10);
    let entry = rig.entry(command_id).await.unwrap();
    let expires_at = entry["expires_at"].as_str().unwrap();
    assert_eq!(expires_at.parse(), Ok(window_end));
    rig.pass_expiry(command_id).await;
    let grounds = rig.finds(command_id, Finding::CannotTell).await;
    running.stop().await;
    let reason = grounds["reason"].as_str().unwrap();
    assert!(reason.contains("no link"), "{reason}");
    assert_eq!(rig.connector.executions(READ, command_id), 5);
}

#[tokio::test]
async fn after_the_window_nobody_looks_any_more() {
    for (early, readings, finding) in [
        (TimeDelta::zero(), 0, Finding::CannotTell),
        (TimeDelta::microseconds(1), 1, Finding::Cleared),
    ] {
        let rig = Rig::new(Scripted::new()).await;
        let command_id = rig.leave_probe().await;
        let secured = json!({ "evidence": "before", "chunks": [faults("P0420")] });
        rig.store(command_id, &[secured]).await;
        rig.timer.advance(TimeDelta::minutes(10) - early);
        let running = rig.dispatch();
        rig.finds(command_id, finding).await;
        running.stop().await;
        assert_eq!(rig.connector.asked().len(), readings);
    }
}

#[tokio::test]
async fn a_probe_goes_on_after_a_crash() {
    for (crashes, readings, finding) in [
        (1, 1, Finding::NotCleared),
        (2, 1, Finding::NotCleared),
        (3, 0, Finding::CannotTell),
    ] {
        let rig = Rig::new(Scripted::new().on(READ, [Script::faults("P0420")])).await;
        let clearing = rig.leave_probe().await;
        let secured = json!({ "evidence": "before", "chunks": [faults("P0420")] });
        rig.store(clearing, &[secured]).await;
        for _ in 0..crashes {
            rig.crash_while_sending(clearing).await;
        }
        let running = rig.dispatch();
        rig.finds(clearing, finding).await;
        running.stop().await;
        assert_eq!(rig.connector.asked().len(), readings, "{crashes} crashes");
    }
}

#[tokio::test]
async fn a_probe_that_was_under_way_when_the_window_closed_cannot_tell() {
    let rig = Rig::new(Scripted::new()).await;
    let command_id = rig.leave_probe().await;
    rig.crash_while_sending(command_id).await;
    rig.timer.advance(TimeDelta::minutes(10));
    let running = rig.dispatch();
    rig.finds(command_id, Finding::CannotTell).await;
    running.stop().await;
    assert!(rig.connector.asked().is_empty());
}

#[tokio::test]
async fn a_later_command_does_not_disturb_the_probe() {
    let (feed, slow) = Script::fed();
    let rig = losing_the_answer([Script::faults("P0420"), slow]).await;
    rig.connect(OFFLINE).await;
    let clearing = rig.submit(CLEAR).await;
    let running = rig.dispatch();
    rig.connector.was_sent(READ, 2).await;
    let later = rig.submit(OTHER).await;
    // The look that finds a command to another vehicle passes this one over.
    rig.is_passed_over(later).await;
    assert_eq!(rig.connector.executions(OTHER, later), 0);
    feed.last(faults("P0420"));
    rig.finds(clearing, Finding::NotCleared).await;
    let later = rig.ended(later).await;
    assert_eq!(later.status, CommandStatus::Completed);
    running.stop().await;
}

#[tokio::test]
async fn what_erases_nothing_is_not_looked_into() {
    for name in ["WriteDataByID", "StartRoutine"] {
        let connector = Scripted::new().on(name, [Script::CutShort(Vec::new())]);
        let rig = Rig::new(connector).await;
        let command_id = rig.submit(name).await;
        let running = rig.dispatch();
        let command = rig.ended(command_id).await;
        assert_eq!(command.failure_kind, Some(FailureKind::OutcomeUnknown));
        assert_eq!(rig.entry(command_id).await, None);
        running.stop().await;
        assert_eq!(rig.look_at(command_id).await.finding, None);
        assert_eq!(rig.connector.names(), [name]);
        assert_eq!(
            rig.actions(command_id).await,
            ["command.submit", "command.fail"]
        );
    }
}

#[tokio::test]
async fn a_vehicle_gets_time_to_settle() {
    let mut rig = losing_the_answer([Script::faults("P0420"), Script::faults("")]).await;
    rig.parts.catalog = Arc::new(Catalog::standard());
    let command_id = rig.submit(CLEAR).await;
    let running = rig.dispatch();
    let ended_at = rig.ended(command_id).await.completed_at.unwrap();
    let settled = rig.is_put_off(command_id).await;
    assert_eq!(settled, ended_at + TimeDelta::seconds(2));
    assert_eq!(rig.connector.names(), [READ, CLEAR]);
    // The first sweep at or after that moment looks.
    rig.timer.advance(TimeDelta::seconds(2));
    rig.finds(command_id, Finding::Cleared).await;
    running.stop().await;
}

#[tokio::test]
async fn a_code_that_cannot_be_stored_does_not_keep_a_probe_from_its_end() {
    let rig = losing_the_answer([Script::faults("P0420"), Script::faults("P\u{0}1")]).await;
    let command_id = rig.submit(CLEAR).await;
    let running = rig.dispatch();
    let grounds = rig.finds(command_id, Finding::Cleared).await;
    assert_eq!(grounds, json!({ "faults": ["P1"] }));
    running.stop().await;
}
