//! Blocked and endless operations do not affect others.

use chrono::TimeDelta;
use serde_json::json;
use sovd_connector::ConnectorError;
use sovd_domain::{CommandStatus, FailureKind};
use sovd_services::commands::Submission;

use crate::{
    commands::watching::poll,
    fixture::{LEASE, OFFLINE, TestBed, VEHICLE, engineer, submission, within},
    scripted_connector::{Script, ScriptedConnector},
};

const READ: &str = "ReadDTC";
const WRITE: &str = "WriteDataByID";

impl TestBed {
    /// Waits until at least `count` transactions wait for locks.
    pub(crate) async fn wait_for_blocked(&self, count: i64) {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let client = self.sql().await;
        poll("transactions to wait for locks", async || {
            let row = client.query_one(sql, &[]).await.unwrap();
            (row.get::<_, i64>(0) >= count).then_some(())
        })
        .await;
    }
}

fn to_other(name: &str) -> Submission {
    Submission {
        vehicle_id: OFFLINE,
        ..submission(name)
    }
}

#[tokio::test]
async fn a_locked_vehicle_does_not_block_submissions_for_others() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let mut client = bed.sql().await;
    let lock = client.transaction().await.unwrap();
    let sql = "SELECT FROM vehicles WHERE vehicle_id = $1 FOR UPDATE";
    lock.execute(sql, &[&VEHICLE.0]).await.unwrap();
    let caller = engineer();
    let blocked = (0..20).map(|_| bed.commands.submit(&caller, submission(READ)));
    let mut blocked = Box::pin(futures_util::future::join_all(blocked));
    let others = async {
        bed.wait_for_blocked(1).await;
        for _ in 0..20 {
            bed.submit_with(to_other(READ)).await;
        }
    };
    tokio::select! {
        _ = &mut blocked => panic!("the vehicle is locked"),
        () = within("the other vehicle", others) => {}
    }
    lock.rollback().await.unwrap();
    for submitted in within("the locked vehicle", blocked).await {
        submitted.unwrap();
    }
}

#[tokio::test]
async fn a_locked_expired_command_does_not_block_sending() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let expired = bed.submit_with(to_other(READ)).await;
    let mut client = bed.sql().await;
    let lock = client.transaction().await.unwrap();
    let sql = "SELECT FROM commands WHERE command_id = $1 FOR UPDATE";
    lock.execute(sql, &[&expired.0]).await.unwrap();
    bed.timer.advance(TimeDelta::hours(1));
    let running = bed.start_dispatcher();
    bed.wait_for_blocked(1).await;
    for _ in 0..5 {
        let fresh = bed.submit(READ).await;
        assert_eq!(
            bed.wait_for_end(fresh).await.status,
            CommandStatus::Completed
        );
    }
    lock.rollback().await.unwrap();
    let ended = bed.wait_for_end(expired).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::Expired));
    running.stop().await;
}

#[tokio::test]
async fn a_command_that_expires_during_a_database_wait_is_not_sent() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let command_id = bed.submit(WRITE).await;
    let mut client = bed.sql().await;
    let lock = client.transaction().await.unwrap();
    let sql = "SELECT FROM commands WHERE command_id = $1 FOR UPDATE";
    lock.execute(sql, &[&command_id.0]).await.unwrap();
    let running = bed.start_dispatcher();
    bed.wait_for_blocked(1).await;
    bed.timer.advance(TimeDelta::minutes(5));
    lock.rollback().await.unwrap();
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::Expired));
    assert!(bed.connector.requests().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn an_endless_response_is_cut_off() {
    let chunks = (0..10_001).map(|number| json!({ "number": number }));
    let endless = Script::Hang(chunks.collect());
    let bed = TestBed::new(ScriptedConnector::new().on("ReadDTC", [endless])).await;
    let clearing = bed.submit("ClearDTC").await;
    let running = bed.start_dispatcher();
    let ended = bed.wait_for_end(clearing).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::Rejected));
    let message = ended.error_message.unwrap();
    assert!(message.contains("before its final chunk"), "{message}");
    running.stop().await;
}

#[tokio::test]
async fn a_trickling_response_does_not_outlast_the_timeout() {
    let (feed, slow) = Script::fed();
    let bed = TestBed::new(ScriptedConnector::new().on(WRITE, [slow])).await;
    let command_id = bed.submit(WRITE).await;
    let running = bed.start_dispatcher();
    feed.more(json!({ "progress": 1 }));
    bed.wait_for_responses(command_id, 1).await;
    bed.advance_past_timeout().await;
    feed.more(json!({ "progress": 2 }));
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::OutcomeUnknown));
    running.stop().await;
}

#[tokio::test]
async fn a_response_proves_that_the_command_was_sent() {
    let contradiction = Script::RespondThenFail(
        vec![json!({ "progress": 1 })],
        ConnectorError::Broken { sent: false },
    );
    let bed = TestBed::new(ScriptedConnector::new().on(WRITE, [contradiction])).await;
    let command_id = bed.submit(WRITE).await;
    let running = bed.start_dispatcher();
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::OutcomeUnknown));
    running.stop().await;
    assert_eq!(bed.connector.request_count(WRITE, command_id), 1);
}

#[tokio::test]
async fn a_vehicle_stays_reserved_until_the_lease_expires() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let command_id = bed.submit(WRITE).await;
    let lease_end = bed.now() + TimeDelta::from_std(LEASE).unwrap();
    bed.claim(command_id, lease_end).await;
    let cancelled = bed.commands.cancel(&engineer(), command_id).await;
    assert_eq!(
        cancelled.unwrap().failure_kind,
        Some(FailureKind::Cancelled)
    );
    let next = bed.submit(READ).await;
    let running = bed.start_dispatcher();
    bed.assert_not_claimed(next).await;
    bed.timer.advance(lease_end - bed.now());
    assert_eq!(
        bed.wait_for_end(next).await.status,
        CommandStatus::Completed
    );
    running.stop().await;
    assert_eq!(bed.connector.request_count(WRITE, command_id), 0);
    assert_eq!(bed.queue_entry(command_id).await, None);
}

#[tokio::test]
async fn an_answered_clear_completes_without_a_report() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let command_id = bed.submit("ClearDTC").await;
    let parts = [json!({ "evidence": "before" }), json!({ "cleared": true })];
    bed.crash_after_response(command_id, &parts).await;
    let nowhere = "UPDATE vehicles SET metadata = '{\"connector\": \"carrier-pigeon\"}'";
    bed.sql().await.execute(nowhere, &[]).await.unwrap();
    let running = bed.start_dispatcher();
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    let report = bed.responses(command_id).await.pop().unwrap();
    assert!(report.is_final);
    let error = report.response_payload["error"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(error.contains("carrier-pigeon"), "{error}");
    running.stop().await;
}
