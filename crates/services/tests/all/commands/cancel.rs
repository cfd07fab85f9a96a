//! Calling commands off at every point of their way.

use serde_json::json;
use sovd_domain::{Command, CommandId, CommandStatus, FailureKind, Finding, UserId};
use sovd_services::ServiceError;
use uuid::Uuid;

use crate::{
    fixture::{RunningDispatcher, TestBed, admin, engineer, submission},
    scripted_connector::{Script, ScriptedConnector, faults},
};

const READ: &str = "ReadDataByID";
const EVIDENCE: &str = "ReadDTC";
const CLEAR: &str = "ClearDTC";
const WRITE: &str = "WriteDataByID";

/// Where the dispatcher is that has the command: in the process that is asked to call it off, or in
/// another one with the same database.
#[derive(Debug, Clone, Copy)]
enum Place {
    Here,
    Elsewhere,
}

const PLACES: [Place; 2] = [Place::Here, Place::Elsewhere];

impl TestBed {
    /// Starts a dispatcher, and waits until it hears of commands that are called off.
    async fn dispatch_at(&self, place: Place) -> RunningDispatcher {
        let running = match place {
            Place::Here => self.start_dispatcher(),
            Place::Elsewhere => self.start_remote_dispatcher(),
        };
        self.wait_for_listeners(1).await;
        running
    }

    /// Calls the command off as its sender, who is told how it has ended.
    async fn cancel(&self, command_id: CommandId) -> Command {
        let ended = self.commands.cancel(&engineer(), command_id).await;
        let ended = ended.unwrap();
        // A probe may have come to its finding already.
        let stored = Command {
            finding: None,
            ..self.command(command_id).await
        };
        assert_eq!(stored, ended);
        assert_eq!(ended.status, CommandStatus::Failed);
        assert_eq!(ended.completed_at, Some(self.now()));
        ended
    }

    /// Nobody calls the command off, because `reason`.
    async fn refuses_to_cancel(&self, command_id: CommandId, reason: &str) {
        let before = self.command(command_id).await;
        let refused = self.commands.cancel(&engineer(), command_id).await;
        let Err(ServiceError::NotCancellable { reason: given }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(given, reason);
        assert_eq!(self.command(command_id).await, before);
        let actions = self.audit_actions(command_id).await;
        assert!(!actions.contains(&"command.cancel".to_owned()));
    }

    /// The vehicle has no work left that would keep a new command from it.
    async fn is_free_for(&self, name: &str, place: Place) {
        let command_id = self.submit(name).await;
        if matches!(place, Place::Elsewhere) {
            // Nobody tells the dispatcher of it, so it has to look.
            self.timer.advance(self.next_sweep() - self.now());
        }
        let next = self.wait_for_end(command_id).await;
        assert_eq!(next.status, CommandStatus::Completed);
    }

    /// The audit trail knows who called the command off, and that it ended, and the bus carried the
    /// end once.
    async fn shows_cancel(&self, command_id: CommandId, kind: FailureKind) {
        let audited = self.audit_entries(command_id).await;
        let cancels: Vec<_> = audited
            .iter()
            .filter(|(action, _)| action == "command.cancel")
            .collect();
        assert_eq!(cancels.len(), 1, "{audited:?}");
        assert_eq!(cancels[0].1["failure_kind"], json!(kind));
        self.assert_audited_once(command_id, Some(kind)).await;
        let published = self.published(command_id).await;
        let ends = published.iter().filter(|event| event.is_terminal());
        assert_eq!(ends.count(), 1, "{published:?}");
    }
}

#[tokio::test]
async fn before_it_is_claimed() {
    for name in [READ, CLEAR, WRITE] {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        let command_id = bed.submit(name).await;
        let ended = bed.cancel(command_id).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::Cancelled), "{name}");
        assert_eq!(ended.started_at, None);
        let running = bed.start_dispatcher();
        bed.assert_not_claimed(command_id).await;
        running.stop().await;
        assert_eq!(bed.connector.request_count(name, command_id), 0);
        bed.shows_cancel(command_id, FailureKind::Cancelled).await;
    }
}

#[tokio::test]
async fn between_two_attempts() {
    for (name, script) in [
        (EVIDENCE, Script::unreachable()),
        (EVIDENCE, Script::Truncate(Vec::new())),
        (WRITE, Script::unreachable()),
    ] {
        let bed = TestBed::new(ScriptedConnector::new().on(name, [script])).await;
        let command_id = bed.submit(name).await;
        let running = bed.start_dispatcher();
        let due_at = bed.wait_for_retry(command_id).await;
        let ended = bed.cancel(command_id).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::Cancelled), "{name}");
        bed.timer.advance(due_at - bed.now());
        bed.assert_not_claimed(command_id).await;
        running.stop().await;
        assert_eq!(bed.connector.request_count(name, command_id), 1);
        bed.shows_cancel(command_id, FailureKind::Cancelled).await;
    }
}

#[tokio::test]
async fn while_reading_the_evidence() {
    for place in PLACES {
        let bed =
            TestBed::new(ScriptedConnector::new().on(EVIDENCE, [Script::Hang(Vec::new())])).await;
        let command_id = bed.submit(CLEAR).await;
        let running = bed.dispatch_at(place).await;
        bed.connector.wait_for_request(EVIDENCE, 1).await;
        let ended = bed.cancel(command_id).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::Cancelled));
        bed.connector.wait_until_closed().await;
        bed.is_free_for(READ, place).await;
        running.stop().await;
        assert_eq!(bed.connector.request_count(CLEAR, command_id), 0);
        assert!(bed.responses(command_id).await.is_empty());
        bed.shows_cancel(command_id, FailureKind::Cancelled).await;
    }
}

#[tokio::test]
async fn while_sending() {
    for place in PLACES {
        for (name, kind) in [
            (READ, FailureKind::Cancelled),
            (WRITE, FailureKind::OutcomeUnknown),
        ] {
            let part = json!({ "value": "1" });
            let hang = Script::Hang(vec![part]);
            let bed = TestBed::new(ScriptedConnector::new().on(name, [hang])).await;
            let command_id = bed.submit(name).await;
            let running = bed.dispatch_at(place).await;
            bed.wait_for_responses(command_id, 1).await;
            let ended = bed.cancel(command_id).await;
            assert_eq!(ended.failure_kind, Some(kind), "{name} {place:?}");
            bed.connector.wait_until_closed().await;
            bed.is_free_for(EVIDENCE, place).await;
            running.stop().await;
            assert_eq!(bed.connector.request_count(name, command_id), 1);
            assert_eq!(bed.command(command_id).await, ended);
            assert_eq!(bed.responses(command_id).await.len(), 1);
            bed.shows_cancel(command_id, kind).await;
        }
    }
}

#[tokio::test]
async fn while_clearing_faults() {
    for place in PLACES {
        let readings = [Script::faults("P0420"), Script::faults("")];
        let connector = ScriptedConnector::new().on(EVIDENCE, readings);
        let bed = TestBed::new(connector.on(CLEAR, [Script::Hang(Vec::new())])).await;
        let command_id = bed.submit(CLEAR).await;
        let running = bed.dispatch_at(place).await;
        bed.connector.wait_for_request(CLEAR, 1).await;
        let ended = bed.cancel(command_id).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::OutcomeUnknown));
        let found = bed
            .wait_until(command_id, |command| command.finding.is_some())
            .await;
        assert_eq!(found.finding, Some(Finding::Cleared), "{place:?}");
        bed.connector.wait_until_closed().await;
        running.stop().await;
        assert_eq!(bed.connector.command_names(), [EVIDENCE, CLEAR, EVIDENCE]);
        bed.shows_cancel(command_id, FailureKind::OutcomeUnknown)
            .await;
    }
}

#[tokio::test]
async fn after_a_crash_of_the_lease_holder() {
    for (name, kind) in [
        (READ, FailureKind::Cancelled),
        (CLEAR, FailureKind::OutcomeUnknown),
        (WRITE, FailureKind::OutcomeUnknown),
    ] {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        let command_id = bed.submit(name).await;
        bed.crash_while_sending(command_id).await;
        assert_eq!(bed.cancel(command_id).await.failure_kind, Some(kind));
        bed.shows_cancel(command_id, kind).await;
    }
}

#[tokio::test]
async fn is_refused_after_the_response() {
    let (feed, slow) = Script::fed();
    let readings = [Script::faults("P0420"), slow];
    let bed = TestBed::new(ScriptedConnector::new().on(EVIDENCE, readings)).await;
    let command_id = bed.submit(CLEAR).await;
    let running = bed.start_dispatcher();
    bed.connector.wait_for_request(EVIDENCE, 2).await;
    bed.refuses_to_cancel(command_id, "the vehicle has responded to it")
        .await;
    feed.last(faults(""));
    let ended = bed.wait_for_end(command_id).await;
    running.stop().await;
    assert_eq!(ended.status, CommandStatus::Completed);
    bed.assert_audited_once(command_id, None).await;
}

#[tokio::test]
async fn is_refused_after_the_end() {
    let bed = TestBed::new(ScriptedConnector::new().on(WRITE, [Script::rejection()])).await;
    let running = bed.start_dispatcher();
    for name in [READ, WRITE] {
        let command_id = bed.submit(name).await;
        bed.wait_for_end(command_id).await;
        bed.refuses_to_cancel(command_id, "it has ended").await;
    }
    running.stop().await;
}

#[tokio::test]
async fn does_not_cancel_a_probe() {
    let readings = [Script::faults(""), Script::Hang(Vec::new())];
    let connector = ScriptedConnector::new().on(EVIDENCE, readings);
    let bed = TestBed::new(connector.on(CLEAR, [Script::Truncate(Vec::new())])).await;
    let command_id = bed.submit(CLEAR).await;
    let running = bed.start_dispatcher();
    bed.connector.wait_for_request(EVIDENCE, 2).await;
    bed.refuses_to_cancel(command_id, "it has ended").await;
    running.abort().await;
}

#[tokio::test]
async fn the_second_cancellation_is_refused() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let command_id = bed.submit(READ).await;
    let ended = bed.cancel(command_id).await;
    let again = bed.commands.cancel(&engineer(), command_id).await;
    assert!(matches!(again, Err(ServiceError::NotCancellable { .. })));
    assert_eq!(bed.command(command_id).await, ended);
    bed.shows_cancel(command_id, FailureKind::Cancelled).await;
}

#[tokio::test]
async fn requires_access_to_the_command() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let unknown = CommandId(Uuid::from_u128(7));
    let missing = bed.commands.cancel(&admin(), unknown).await;
    assert!(matches!(missing, Err(ServiceError::NotFound { .. })));

    let submitted = bed.commands.submit(&admin(), submission(READ)).await;
    let of_admin = submitted.unwrap().command;
    let hidden = bed.commands.cancel(&engineer(), of_admin.command_id).await;
    assert!(matches!(hidden, Err(ServiceError::NotFound { .. })));
    assert_eq!(bed.command(of_admin.command_id).await, of_admin);

    let of_engineer = bed.submit(READ).await;
    let ended = bed.commands.cancel(&admin(), of_engineer).await.unwrap();
    assert_eq!(ended.failure_kind, Some(FailureKind::Cancelled));
    assert_eq!(ended.user_id, engineer().user.user_id);
    bed.shows_cancel(of_engineer, FailureKind::Cancelled).await;
    let sql = "SELECT user_id FROM audit_logs
               WHERE command_id = $1 AND action = 'command.cancel'";
    let row = bed.sql().await.query_one(sql, &[&of_engineer.0]).await;
    assert_eq!(UserId(row.unwrap().get(0)), admin().user.user_id);
}
