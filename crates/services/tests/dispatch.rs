//! What becomes of commands when connectors and processes misbehave, on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use rig::{Rig, Scripted};
use serde_json::json;
use sovd_connector::ResponseChunk;
use sovd_domain::{CommandStatus, FailureKind};
use sovd_storage::{commands, queue};

fn answer() -> ResponseChunk {
    ResponseChunk {
        payload: json!({ "dtcs": [] }),
        is_final: true,
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_stored_is_no_success_and_no_endless_loop() {
    let unstorable = ResponseChunk {
        payload: json!({ "text": "\u{0}" }),
        is_final: true,
    };
    for (name, kind) in [
        ("ReadDTC", FailureKind::Internal),
        ("ClearDTC", FailureKind::OutcomeUnknown),
    ] {
        let connector = Arc::new(Scripted::answering(vec![unstorable.clone()]));
        let rig = Rig::with(Arc::clone(&connector)).await;
        let command_id = rig.queue(name).await;
        let running = rig.dispatch();
        let command = rig.ended(command_id).await;
        assert_eq!(command.failure_kind, Some(kind), "{name}");
        assert_eq!(connector.executions(command_id), 1);
        running.stop().await;
    }
}

#[tokio::test]
async fn after_a_crash_a_reading_is_sent_again_and_a_clearing_is_not() {
    for (name, status, kind, executions) in [
        ("ReadDTC", CommandStatus::Completed, None, 1),
        (
            "ClearDTC",
            CommandStatus::Failed,
            Some(FailureKind::OutcomeUnknown),
            0,
        ),
    ] {
        let connector = Arc::new(Scripted::answering(vec![answer()]));
        let rig = Rig::with(Arc::clone(&connector)).await;
        let command_id = rig.queue(name).await;
        rig.crash_while_sending(command_id).await;
        let running = rig.dispatch();
        let command = rig.ended(command_id).await;
        assert_eq!(
            (command.status, command.failure_kind),
            (status, kind),
            "{name}"
        );
        assert_eq!(connector.executions(command_id), executions, "{name}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_reading_that_kills_every_process_is_given_up() {
    let connector = Arc::new(Scripted::answering(vec![answer()]));
    let rig = Rig::with(Arc::clone(&connector)).await;
    let command_id = rig.queue("ReadDTC").await;
    for _ in 0..3 {
        rig.crash_while_sending(command_id).await;
    }
    let running = rig.dispatch();
    let command = rig.ended(command_id).await;
    assert_eq!(command.failure_kind, Some(FailureKind::Internal));
    assert_eq!(connector.executions(command_id), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_vehicle_that_does_not_answer_in_time_is_not_waited_for() {
    for (name, kind) in [
        ("ReadDTC", FailureKind::Timeout),
        ("ClearDTC", FailureKind::OutcomeUnknown),
    ] {
        let rig = Rig::with_timeout(Arc::new(Scripted::hanging()), Duration::from_millis(50));
        let rig = rig.await;
        let command_id = rig.queue(name).await;
        let running = rig.dispatch();
        assert_eq!(
            rig.ended(command_id).await.failure_kind,
            Some(kind),
            "{name}"
        );
        running.stop().await;
    }
}

#[tokio::test]
async fn two_processes_send_each_command_once() {
    let connector = Arc::new(Scripted::answering(vec![answer()]));
    let rig = Rig::with(Arc::clone(&connector)).await;
    let (one, two) = (rig.dispatch(), rig.dispatch());
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(rig.queue("ClearDTC").await);
    }
    for command_id in &ids {
        assert_eq!(
            rig.ended(*command_id).await.status,
            CommandStatus::Completed
        );
        assert_eq!(connector.executions(*command_id), 1);
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_holder_that_was_thought_dead_writes_nothing() {
    let rig = Rig::with(Arc::new(Scripted::answering(vec![answer()]))).await;
    let command_id = rig.queue("ReadDTC").await;
    let claim = rig.crash_while_sending(command_id).await;
    let running = rig.dispatch();
    let ended = rig.ended(command_id).await;
    running.stop().await;

    let mut connection = rig.database().connection().await.unwrap();
    assert!(!queue::hold(&mut connection, &claim).await.unwrap());
    let until = ended.expires_at + TimeDelta::hours(1);
    assert!(!queue::renew(&mut connection, &claim, until).await.unwrap());
    let now = commands::find(&mut connection, command_id, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(now, ended);
}
