//! Leases: renewal, expiry and loss.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use sovd_domain::{CommandId, CommandStatus, FailureKind};
use sovd_services::commands::dispatch::DispatchSettings;

use crate::{
    captured_log::CapturedLog,
    fixture::{LEASE, RunningDispatcher, SETTINGS, SWEEP, TestBed, within},
    scripted_connector::{Script, ScriptedConnector},
};

const READ: &str = "ReadDTC";
const WRITE: &str = "WriteDataByID";
/// Short enough to be renewed before the timeout of a command.
const SHORT: TimeDelta = TimeDelta::seconds(15);
const THIRD: TimeDelta = TimeDelta::seconds(5);

impl TestBed {
    fn dispatch_with_short_lease(&self) -> RunningDispatcher {
        self.start_dispatcher_with(DispatchSettings {
            lease: Duration::from_secs(15),
            ..SETTINGS
        })
    }

    /// Assigns the command to another holder, as if the lease had expired.
    async fn take_away(&self, command_id: CommandId) {
        let sql = "UPDATE command_queue SET lease_id = gen_random_uuid() WHERE command_id = $1";
        let client = self.sql().await;
        let taken = client.execute(sql, &[&command_id.0]).await.unwrap();
        assert_eq!(taken, 1);
    }
}

#[tokio::test]
async fn renewed_at_every_third_of_its_duration() {
    let bed = TestBed::new(ScriptedConnector::new().on(WRITE, [Script::Hang(Vec::new())])).await;
    let command_id = bed.submit(WRITE).await;
    let running = bed.dispatch_with_short_lease();
    bed.connector.wait_for_request(WRITE, 1).await;
    let claimed_at = bed.now();
    let until = async || bed.lease_expires_at(command_id).await;
    assert_eq!(until().await, Some(claimed_at + SHORT));
    // A fifth renewal would coincide with the timeout of the command.
    for _ in 0..4 {
        bed.advance_to(bed.now() + THIRD).await;
        // This renewal is complete once the task sleeps until the next one.
        let next = bed.timer.awaited(bed.now() + THIRD);
        within("the next renewal", next).await;
        assert_eq!(until().await, Some(bed.now() + SHORT));
    }
    let command = bed.command(command_id).await;
    assert_eq!(command.status, CommandStatus::InProgress);
    bed.advance_to(claimed_at + TimeDelta::seconds(30)).await;
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::OutcomeUnknown));
    running.stop().await;
}

#[tokio::test]
async fn taken_over_exactly_when_it_expires() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let command_id = bed.submit(READ).await;
    let lease = TimeDelta::from_std(LEASE).unwrap();
    let lease_end = bed.now() + lease;
    bed.claim(command_id, lease_end).await;
    let running = bed.start_dispatcher();
    bed.timer.advance(lease - TimeDelta::microseconds(1));
    bed.assert_not_claimed(command_id).await;
    bed.timer.advance(TimeDelta::microseconds(1));
    bed.parts.work_notifier.notify();
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    assert_eq!(ended.started_at, Some(lease_end));
    running.stop().await;
}

#[tokio::test]
async fn a_holder_stops_after_losing_it() {
    let bed = TestBed::new(ScriptedConnector::new().on(WRITE, [Script::Hang(Vec::new())])).await;
    let command_id = bed.submit(WRITE).await;
    let running = bed.dispatch_with_short_lease();
    bed.connector.wait_for_request(WRITE, 1).await;
    bed.take_away(command_id).await;
    let entry = bed.queue_entry(command_id).await;
    bed.advance_to(bed.now() + THIRD).await;
    bed.connector.wait_until_closed().await;
    running.stop().await;
    assert_eq!(bed.queue_entry(command_id).await, entry);
    let command = bed.command(command_id).await;
    assert_eq!(command.status, CommandStatus::InProgress);
}

#[tokio::test]
async fn a_holder_that_cannot_renew_stops_at_the_expiry() {
    let bed = TestBed::new(ScriptedConnector::new().on(WRITE, [Script::Hang(Vec::new())])).await;
    let command_id = bed.submit(WRITE).await;
    let running = bed.dispatch_with_short_lease();
    bed.connector.wait_for_request(WRITE, 1).await;
    let lease_end = bed.now() + SHORT;
    let mut client = bed.sql().await;
    let blocking = client.transaction().await.unwrap();
    let sql = "SELECT FROM command_queue WHERE command_id = $1 FOR UPDATE";
    blocking.execute(sql, &[&command_id.0]).await.unwrap();
    bed.advance_to(bed.now() + THIRD).await;
    bed.wait_for_blocked(1).await;
    bed.advance_to(lease_end).await;
    bed.connector.wait_until_closed().await;
    let command = bed.command(command_id).await;
    assert_eq!(command.status, CommandStatus::InProgress);
    // The next holder finds that it was sent. The blocked renewal may now complete.
    blocking.rollback().await.unwrap();
    // Waits for that renewal, because a claim skips a locked entry.
    client.execute(sql, &[&command_id.0]).await.unwrap();
    bed.timer
        .advance(SHORT + TimeDelta::from_std(SWEEP).unwrap());
    let command = bed.wait_for_end(command_id).await;
    assert_eq!(command.failure_kind, Some(FailureKind::OutcomeUnknown));
    running.stop().await;
}

#[tokio::test]
async fn a_holder_with_an_expired_lease_stores_nothing() {
    let log = CapturedLog::start();
    let (feed, slow) = Script::fed();
    let own = json!({ "by": "the second" });
    let scripts = [slow, Script::Respond(vec![own.clone()])];
    let bed = TestBed::new(ScriptedConnector::new().on(READ, scripts)).await;
    let command_id = bed.submit(READ).await;
    let first = bed.start_dispatcher();
    bed.connector.wait_for_request(READ, 1).await;
    let sql = "UPDATE command_queue SET lease_expires_at = $2 WHERE command_id = $1";
    let client = bed.sql().await;
    let ended = client.execute(sql, &[&command_id.0, &bed.now()]).await;
    assert_eq!(ended.unwrap(), 1);
    let second = bed.start_remote_dispatcher();
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.status, CommandStatus::Completed);

    feed.last(json!({ "by": "the first" }));
    bed.connector.wait_until_closed().await;
    first.stop().await;
    second.stop().await;
    assert!(log.contains("late response not stored"));
    assert_eq!(bed.command(command_id).await, ended);
    let stored: Vec<Value> = bed
        .responses(command_id)
        .await
        .into_iter()
        .map(|response| response.response_payload)
        .collect();
    assert_eq!(stored, [own]);
    bed.assert_audited_once(command_id, None).await;
}

#[tokio::test]
async fn a_sweep_finds_unannounced_commands() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let running = bed.start_remote_dispatcher();
    bed.wait_for_listeners(1).await;
    bed.advance_to(bed.next_sweep()).await;
    let next = bed.next_sweep();
    within("the next sweep", bed.timer.awaited(next)).await;
    let command_id = bed.submit(READ).await;
    bed.advance_to(next).await;
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    assert_eq!(ended.started_at, Some(next), "claimed before the sweep");
    running.stop().await;
}
