//! Calling commands off at every point of their way.

use serde_json::json;
use sovd_domain::{Command, CommandId, CommandStatus, FailureKind, Finding, UserId};
use sovd_services::ServiceError;
use uuid::Uuid;

use crate::{
    fixture::{Rig, Running, admin, engineer, submission},
    scripted_connector::{Script, Scripted, faults},
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

impl Rig {
    /// Starts a dispatcher, and waits until it hears of commands that are called off.
    async fn dispatch_at(&self, place: Place) -> Running {
        let running = match place {
            Place::Here => self.dispatch(),
            Place::Elsewhere => self.dispatch_elsewhere(),
        };
        self.is_heard_by(1).await;
        running
    }

    /// Calls the command off as its sender, who is told how it has ended.
    async fn cancel(&self, command_id: CommandId) -> Command {
        let ended = self.commands.cancel(&engineer(), command_id).await;
        let ended = ended.unwrap();
        // A probe may have come to its finding already.
        let stored = Command {
            finding: None,
            ..self.look_at(command_id).await
        };
        assert_eq!(stored, ended);
        assert_eq!(ended.status, CommandStatus::Failed);
        assert_eq!(ended.completed_at, Some(self.now()));
        ended
    }

    /// Nobody calls the command off, because `reason`.
    async fn refuses_to_cancel(&self, command_id: CommandId, reason: &str) {
        let before = self.look_at(command_id).await;
        let refused = self.commands.cancel(&engineer(), command_id).await;
        let Err(ServiceError::NotCancellable { reason: given }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(given, reason);
        assert_eq!(self.look_at(command_id).await, before);
        let actions = self.actions(command_id).await;
        assert!(!actions.contains(&"command.cancel".to_owned()));
    }

    /// The vehicle has no work left that would keep a new command from it.
    async fn is_free_for(&self, name: &str, place: Place) {
        let command_id = self.submit(name).await;
        if matches!(place, Place::Elsewhere) {
            // Nobody tells the dispatcher of it, so it has to look.
            self.timer.advance(self.next_sweep() - self.now());
        }
        let next = self.ended(command_id).await;
        assert_eq!(next.status, CommandStatus::Completed);
    }

    /// The audit trail knows who called the command off, and that it ended, and the bus carried the
    /// end once.
    async fn shows_cancel(&self, command_id: CommandId, kind: FailureKind) {
        let audited = self.audited(command_id).await;
        let cancels: Vec<_> = audited
            .iter()
            .filter(|(action, _)| action == "command.cancel")
            .collect();
        assert_eq!(cancels.len(), 1, "{audited:?}");
        assert_eq!(cancels[0].1["failure_kind"], json!(kind));
        self.shows_one_end(command_id, Some(kind)).await;
        let published = self.published(command_id).await;
        let ends = published.iter().filter(|event| event.is_terminal());
        assert_eq!(ends.count(), 1, "{published:?}");
    }
}

#[tokio::test]
async fn before_it_is_claimed() {
    for name in [READ, CLEAR, WRITE] {
        let rig = Rig::new(Scripted::new()).await;
        let command_id = rig.submit(name).await;
        let ended = rig.cancel(command_id).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::Cancelled), "{name}");
        assert_eq!(ended.started_at, None);
        let running = rig.dispatch();
        rig.is_passed_over(command_id).await;
        running.stop().await;
        assert_eq!(rig.connector.executions(name, command_id), 0);
        rig.shows_cancel(command_id, FailureKind::Cancelled).await;
    }
}

#[tokio::test]
async fn between_two_tries() {
    for (name, script) in [
        (EVIDENCE, Script::no_link()),
        (EVIDENCE, Script::CutShort(Vec::new())),
        (WRITE, Script::no_link()),
    ] {
        let rig = Rig::new(Scripted::new().on(name, [script])).await;
        let command_id = rig.submit(name).await;
        let running = rig.dispatch();
        let due_at = rig.is_put_off(command_id).await;
        let ended = rig.cancel(command_id).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::Cancelled), "{name}");
        rig.timer.advance(due_at - rig.now());
        rig.is_passed_over(command_id).await;
        running.stop().await;
        assert_eq!(rig.connector.executions(name, command_id), 1);
        rig.shows_cancel(command_id, FailureKind::Cancelled).await;
    }
}

#[tokio::test]
async fn while_the_evidence_is_read() {
    for place in PLACES {
        let rig = Rig::new(Scripted::new().on(EVIDENCE, [Script::Hang(Vec::new())])).await;
        let command_id = rig.submit(CLEAR).await;
        let running = rig.dispatch_at(place).await;
        rig.connector.was_sent(EVIDENCE, 1).await;
        let ended = rig.cancel(command_id).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::Cancelled));
        rig.connector.was_left_alone().await;
        rig.is_free_for(READ, place).await;
        running.stop().await;
        assert_eq!(rig.connector.executions(CLEAR, command_id), 0);
        assert!(rig.responses(command_id).await.is_empty());
        rig.shows_cancel(command_id, FailureKind::Cancelled).await;
    }
}

#[tokio::test]
async fn while_it_is_sent() {
    for place in PLACES {
        for (name, kind) in [
            (READ, FailureKind::Cancelled),
            (WRITE, FailureKind::OutcomeUnknown),
        ] {
            let part = json!({ "value": "1" });
            let hang = Script::Hang(vec![part]);
            let rig = Rig::new(Scripted::new().on(name, [hang])).await;
            let command_id = rig.submit(name).await;
            let running = rig.dispatch_at(place).await;
            rig.has_responses(command_id, 1).await;
            let ended = rig.cancel(command_id).await;
            assert_eq!(ended.failure_kind, Some(kind), "{name} {place:?}");
            rig.connector.was_left_alone().await;
            rig.is_free_for(EVIDENCE, place).await;
            running.stop().await;
            assert_eq!(rig.connector.executions(name, command_id), 1);
            assert_eq!(rig.look_at(command_id).await, ended);
            assert_eq!(rig.responses(command_id).await.len(), 1);
            rig.shows_cancel(command_id, kind).await;
        }
    }
}

#[tokio::test]
async fn while_the_faults_are_cleared() {
    for place in PLACES {
        let readings = [Script::faults("P0420"), Script::faults("")];
        let connector = Scripted::new().on(EVIDENCE, readings);
        let rig = Rig::new(connector.on(CLEAR, [Script::Hang(Vec::new())])).await;
        let command_id = rig.submit(CLEAR).await;
        let running = rig.dispatch_at(place).await;
        rig.connector.was_sent(CLEAR, 1).await;
        let ended = rig.cancel(command_id).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::OutcomeUnknown));
        let found = rig
            .becomes(command_id, |command| command.finding.is_some())
            .await;
        assert_eq!(found.finding, Some(Finding::Cleared), "{place:?}");
        rig.connector.was_left_alone().await;
        running.stop().await;
        assert_eq!(rig.connector.names(), [EVIDENCE, CLEAR, EVIDENCE]);
        rig.shows_cancel(command_id, FailureKind::OutcomeUnknown)
            .await;
    }
}

#[tokio::test]
async fn while_its_holder_is_dead() {
    for (name, kind) in [
        (READ, FailureKind::Cancelled),
        (CLEAR, FailureKind::OutcomeUnknown),
        (WRITE, FailureKind::OutcomeUnknown),
    ] {
        let rig = Rig::new(Scripted::new()).await;
        let command_id = rig.submit(name).await;
        rig.crash_while_sending(command_id).await;
        assert_eq!(rig.cancel(command_id).await.failure_kind, Some(kind));
        rig.shows_cancel(command_id, kind).await;
    }
}

#[tokio::test]
async fn once_the_vehicle_has_answered_it_is_too_late() {
    let (feed, slow) = Script::fed();
    let readings = [Script::faults("P0420"), slow];
    let rig = Rig::new(Scripted::new().on(EVIDENCE, readings)).await;
    let command_id = rig.submit(CLEAR).await;
    let running = rig.dispatch();
    rig.connector.was_sent(EVIDENCE, 2).await;
    rig.refuses_to_cancel(command_id, "the vehicle has responded to it")
        .await;
    feed.last(faults(""));
    let ended = rig.ended(command_id).await;
    running.stop().await;
    assert_eq!(ended.status, CommandStatus::Completed);
    rig.shows_one_end(command_id, None).await;
}

#[tokio::test]
async fn what_has_ended_stays_as_it_is() {
    let rig = Rig::new(Scripted::new().on(WRITE, [Script::refuse()])).await;
    let running = rig.dispatch();
    for name in [READ, WRITE] {
        let command_id = rig.submit(name).await;
        rig.ended(command_id).await;
        rig.refuses_to_cancel(command_id, "it has ended").await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_probe_is_not_called_off() {
    let readings = [Script::faults(""), Script::Hang(Vec::new())];
    let connector = Scripted::new().on(EVIDENCE, readings);
    let rig = Rig::new(connector.on(CLEAR, [Script::CutShort(Vec::new())])).await;
    let command_id = rig.submit(CLEAR).await;
    let running = rig.dispatch();
    rig.connector.was_sent(EVIDENCE, 2).await;
    rig.refuses_to_cancel(command_id, "it has ended").await;
    running.give_up().await;
}

#[tokio::test]
async fn twice_is_once_too_often() {
    let rig = Rig::new(Scripted::new()).await;
    let command_id = rig.submit(READ).await;
    let ended = rig.cancel(command_id).await;
    let again = rig.commands.cancel(&engineer(), command_id).await;
    assert!(matches!(again, Err(ServiceError::NotCancellable { .. })));
    assert_eq!(rig.look_at(command_id).await, ended);
    rig.shows_cancel(command_id, FailureKind::Cancelled).await;
}

#[tokio::test]
async fn only_those_who_may_see_it_may_call_it_off() {
    let rig = Rig::new(Scripted::new()).await;
    let unknown = CommandId(Uuid::from_u128(7));
    let missing = rig.commands.cancel(&admin(), unknown).await;
    assert!(matches!(missing, Err(ServiceError::NotFound { .. })));

    let submitted = rig.commands.submit(&admin(), submission(READ)).await;
    let of_admin = submitted.unwrap().command;
    let hidden = rig.commands.cancel(&engineer(), of_admin.command_id).await;
    assert!(matches!(hidden, Err(ServiceError::NotFound { .. })));
    assert_eq!(rig.look_at(of_admin.command_id).await, of_admin);

    let of_engineer = rig.submit(READ).await;
    let ended = rig.commands.cancel(&admin(), of_engineer).await.unwrap();
    assert_eq!(ended.failure_kind, Some(FailureKind::Cancelled));
    assert_eq!(ended.user_id, engineer().user.user_id);
    rig.shows_cancel(of_engineer, FailureKind::Cancelled).await;
    let sql = "SELECT user_id FROM audit_logs
               WHERE command_id = $1 AND action = 'command.cancel'";
    let row = rig.sql().await.query_one(sql, &[&of_engineer.0]).await;
    assert_eq!(UserId(row.unwrap().get(0)), admin().user.user_id);
}
