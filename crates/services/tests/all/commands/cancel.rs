//! Cancellation in every stage of a command.

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

/// The process of the dispatcher: the one that cancels, or another one on the same database.
#[derive(Debug, Clone, Copy)]
enum Process {
    Same,
    Other,
}

const PROCESSES: [Process; 2] = [Process::Same, Process::Other];

impl TestBed {
    /// Starts a dispatcher and waits until it listens for cancellations.
    async fn start_dispatcher_in(&self, process: Process) -> RunningDispatcher {
        let running = match process {
            Process::Same => self.start_dispatcher(),
            Process::Other => self.start_remote_dispatcher(),
        };
        self.wait_for_listeners(1).await;
        running
    }

    /// Cancels the command as its submitter and returns the result.
    async fn cancel(&self, command_id: CommandId) -> Command {
        let ended = self.commands.cancel(&engineer(), command_id).await;
        let ended = ended.unwrap();
        // A probe may have recorded its finding already.
        let stored = Command {
            finding: None,
            ..self.command(command_id).await
        };
        assert_eq!(stored, ended);
        assert_eq!(ended.status, CommandStatus::Failed);
        assert_eq!(ended.completed_at, Some(self.now()));
        ended
    }

    /// Asserts that the cancellation is refused with `reason` and has no effect.
    async fn assert_not_cancellable(&self, command_id: CommandId, reason: &str) {
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

    /// Asserts that the vehicle is free for a new command.
    async fn assert_free_for(&self, name: &str, process: Process) {
        let command_id = self.submit(name).await;
        if matches!(process, Process::Other) {
            // The dispatcher is not notified and finds it in its next sweep.
            self.timer.advance(self.next_sweep() - self.now());
        }
        let next = self.wait_for_end(command_id).await;
        assert_eq!(next.status, CommandStatus::Completed);
    }

    /// Asserts that the cancellation and the failure are audited and published once.
    async fn assert_cancelled(&self, command_id: CommandId, kind: FailureKind) {
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
        bed.assert_cancelled(command_id, FailureKind::Cancelled)
            .await;
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
        bed.assert_cancelled(command_id, FailureKind::Cancelled)
            .await;
    }
}

#[tokio::test]
async fn while_reading_the_evidence() {
    for process in PROCESSES {
        let bed =
            TestBed::new(ScriptedConnector::new().on(EVIDENCE, [Script::Hang(Vec::new())])).await;
        let command_id = bed.submit(CLEAR).await;
        let running = bed.start_dispatcher_in(process).await;
        bed.connector.wait_for_request(EVIDENCE, 1).await;
        let ended = bed.cancel(command_id).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::Cancelled));
        bed.connector.wait_until_closed().await;
        bed.assert_free_for(READ, process).await;
        running.stop().await;
        assert_eq!(bed.connector.request_count(CLEAR, command_id), 0);
        assert!(bed.responses(command_id).await.is_empty());
        bed.assert_cancelled(command_id, FailureKind::Cancelled)
            .await;
    }
}

#[tokio::test]
async fn while_sending() {
    for process in PROCESSES {
        for (name, kind) in [
            (READ, FailureKind::Cancelled),
            (WRITE, FailureKind::OutcomeUnknown),
        ] {
            let part = json!({ "value": "1" });
            let hang = Script::Hang(vec![part]);
            let bed = TestBed::new(ScriptedConnector::new().on(name, [hang])).await;
            let command_id = bed.submit(name).await;
            let running = bed.start_dispatcher_in(process).await;
            bed.wait_for_responses(command_id, 1).await;
            let ended = bed.cancel(command_id).await;
            assert_eq!(ended.failure_kind, Some(kind), "{name} {process:?}");
            bed.connector.wait_until_closed().await;
            bed.assert_free_for(EVIDENCE, process).await;
            running.stop().await;
            assert_eq!(bed.connector.request_count(name, command_id), 1);
            assert_eq!(bed.command(command_id).await, ended);
            assert_eq!(bed.responses(command_id).await.len(), 1);
            bed.assert_cancelled(command_id, kind).await;
        }
    }
}

#[tokio::test]
async fn while_clearing_faults() {
    for process in PROCESSES {
        let reads = [Script::faults("P0420"), Script::faults("")];
        let connector = ScriptedConnector::new().on(EVIDENCE, reads);
        let bed = TestBed::new(connector.on(CLEAR, [Script::Hang(Vec::new())])).await;
        let command_id = bed.submit(CLEAR).await;
        let running = bed.start_dispatcher_in(process).await;
        bed.connector.wait_for_request(CLEAR, 1).await;
        let ended = bed.cancel(command_id).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::OutcomeUnknown));
        let found = bed
            .wait_until(command_id, |command| command.finding.is_some())
            .await;
        assert_eq!(found.finding, Some(Finding::Cleared), "{process:?}");
        bed.connector.wait_until_closed().await;
        running.stop().await;
        assert_eq!(bed.connector.command_names(), [EVIDENCE, CLEAR, EVIDENCE]);
        bed.assert_cancelled(command_id, FailureKind::OutcomeUnknown)
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
        bed.assert_cancelled(command_id, kind).await;
    }
}

#[tokio::test]
async fn is_refused_after_the_response() {
    let (feed, slow) = Script::fed();
    let reads = [Script::faults("P0420"), slow];
    let bed = TestBed::new(ScriptedConnector::new().on(EVIDENCE, reads)).await;
    let command_id = bed.submit(CLEAR).await;
    let running = bed.start_dispatcher();
    bed.connector.wait_for_request(EVIDENCE, 2).await;
    bed.assert_not_cancellable(command_id, "the vehicle has responded to it")
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
        bed.assert_not_cancellable(command_id, "it has ended").await;
    }
    running.stop().await;
}

#[tokio::test]
async fn does_not_cancel_a_probe() {
    let reads = [Script::faults(""), Script::Hang(Vec::new())];
    let connector = ScriptedConnector::new().on(EVIDENCE, reads);
    let bed = TestBed::new(connector.on(CLEAR, [Script::Truncate(Vec::new())])).await;
    let command_id = bed.submit(CLEAR).await;
    let running = bed.start_dispatcher();
    bed.connector.wait_for_request(EVIDENCE, 2).await;
    bed.assert_not_cancellable(command_id, "it has ended").await;
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
    bed.assert_cancelled(command_id, FailureKind::Cancelled)
        .await;
}

#[tokio::test]
async fn requires_access_to_the_command() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let unknown = CommandId(Uuid::from_u128(7));
    let missing = bed.commands.cancel(&admin(), unknown).await;
    assert!(matches!(missing, Err(ServiceError::NotFound { .. })));

    let submitted = bed.commands.submit(&admin(), submission(READ)).await;
    let of_admin = submitted.unwrap().command;
    let concealed = bed.commands.cancel(&engineer(), of_admin.command_id).await;
    assert!(matches!(concealed, Err(ServiceError::NotFound { .. })));
    assert_eq!(bed.command(of_admin.command_id).await, of_admin);

    let of_engineer = bed.submit(READ).await;
    let ended = bed.commands.cancel(&admin(), of_engineer).await.unwrap();
    assert_eq!(ended.failure_kind, Some(FailureKind::Cancelled));
    assert_eq!(ended.user_id, engineer().user.user_id);
    bed.assert_cancelled(of_engineer, FailureKind::Cancelled)
        .await;
    let sql = "SELECT user_id FROM audit_logs
               WHERE command_id = $1 AND action = 'command.cancel'";
    let row = bed.sql().await.query_one(sql, &[&of_engineer.0]).await;
    assert_eq!(UserId(row.unwrap().get(0)), admin().user.user_id);
}
