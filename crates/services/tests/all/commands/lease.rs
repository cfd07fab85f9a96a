//! Who may work on a command, and until when.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use sovd_domain::{CommandId, CommandStatus, FailureKind};
use sovd_services::commands::dispatch::DispatchSettings;

use crate::{
    captured_log::Log,
    commands::watching::poll,
    fixture::{LEASE, Rig, Running, SETTINGS, SWEEP, within},
    scripted_connector::{Script, Scripted},
};

const READ: &str = "ReadDTC";
const WRITE: &str = "WriteDataByID";
/// Short enough to be renewed while a vehicle has time to answer.
const SHORT: TimeDelta = TimeDelta::seconds(15);
const THIRD: TimeDelta = TimeDelta::seconds(5);

impl Rig {
    fn dispatch_with_short_lease(&self) -> Running {
        self.dispatch_with(DispatchSettings {
            lease: Duration::from_secs(15),
            ..SETTINGS
        })
    }

    /// Waits until somebody waits for a lock.
    async fn has_blocked(&self) {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let client = self.sql().await;
        poll("a lock to be waited for", async || {
            let row = client.query_one(sql, &[]).await.unwrap();
            (row.get::<_, i64>(0) > 0).then_some(())
        })
        .await;
    }

    /// Gives the command to somebody else, as if the lease had ended.
    async fn take_away(&self, command_id: CommandId) {
        let sql = "UPDATE command_queue SET lease_id = gen_random_uuid() WHERE command_id = $1";
        let client = self.sql().await;
        let taken = client.execute(sql, &[&command_id.0]).await.unwrap();
        assert_eq!(taken, 1);
    }
}

#[tokio::test]
async fn it_is_renewed_every_third_of_it() {
    let rig = Rig::new(Scripted::new().on(WRITE, [Script::Hang(Vec::new())])).await;
    let command_id = rig.submit(WRITE).await;
    let running = rig.dispatch_with_short_lease();
    rig.connector.was_sent(WRITE, 1).await;
    let claimed_at = rig.now();
    let until = async || rig.lease_expires_at(command_id).await;
    assert_eq!(until().await, Some(claimed_at + SHORT));
    // After a fifth one the next renewal would fall on the command's own deadline.
    for _ in 0..4 {
        rig.pass_until(rig.now() + THIRD).await;
        // Whoever waits for the next renewal is done with this one.
        let next = rig.timer.awaited(rig.now() + THIRD);
        within("the next renewal", next).await;
        assert_eq!(until().await, Some(rig.now() + SHORT));
    }
    let command = rig.look_at(command_id).await;
    assert_eq!(command.status, CommandStatus::InProgress);
    rig.pass_until(claimed_at + TimeDelta::seconds(30)).await;
    let ended = rig.ended(command_id).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::OutcomeUnknown));
    running.stop().await;
}

#[tokio::test]
async fn when_it_ends_and_not_before_somebody_else_goes_on() {
    let rig = Rig::new(Scripted::new()).await;
    let command_id = rig.submit(READ).await;
    let lease = TimeDelta::from_std(LEASE).unwrap();
    let lease_end = rig.now() + lease;
    rig.claim(command_id, lease_end).await;
    let running = rig.dispatch();
    rig.timer.advance(lease - TimeDelta::microseconds(1));
    rig.is_passed_over(command_id).await;
    rig.timer.advance(TimeDelta::microseconds(1));
    rig.parts.work_notifier.notify();
    let ended = rig.ended(command_id).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    assert_eq!(ended.started_at, Some(lease_end));
    running.stop().await;
}

#[tokio::test]
async fn a_holder_that_lost_it_stops() {
    let rig = Rig::new(Scripted::new().on(WRITE, [Script::Hang(Vec::new())])).await;
    let command_id = rig.submit(WRITE).await;
    let running = rig.dispatch_with_short_lease();
    rig.connector.was_sent(WRITE, 1).await;
    rig.take_away(command_id).await;
    let entry = rig.entry(command_id).await;
    rig.pass_until(rig.now() + THIRD).await;
    rig.connector.was_left_alone().await;
    running.stop().await;
    assert_eq!(rig.entry(command_id).await, entry);
    let command = rig.look_at(command_id).await;
    assert_eq!(command.status, CommandStatus::InProgress);
}

#[tokio::test]
async fn a_holder_that_cannot_renew_it_stops_when_it_ends() {
    let rig = Rig::new(Scripted::new().on(WRITE, [Script::Hang(Vec::new())])).await;
    let command_id = rig.submit(WRITE).await;
    let running = rig.dispatch_with_short_lease();
    rig.connector.was_sent(WRITE, 1).await;
    let lease_end = rig.now() + SHORT;
    let mut client = rig.sql().await;
    let blocking = client.transaction().await.unwrap();
    let sql = "SELECT FROM command_queue WHERE command_id = $1 FOR UPDATE";
    blocking.execute(sql, &[&command_id.0]).await.unwrap();
    rig.pass_until(rig.now() + THIRD).await;
    rig.has_blocked().await;
    rig.pass_until(lease_end).await;
    rig.connector.was_left_alone().await;
    let command = rig.look_at(command_id).await;
    assert_eq!(command.status, CommandStatus::InProgress);
    // Whoever claims it next finds that it was sent. The renewal that was stuck may come through now.
    blocking.rollback().await.unwrap();
    rig.timer
        .advance(SHORT + TimeDelta::from_std(SWEEP).unwrap());
    let command = rig.ended(command_id).await;
    assert_eq!(command.failure_kind, Some(FailureKind::OutcomeUnknown));
    running.stop().await;
}

#[tokio::test]
async fn a_holder_that_was_thought_dead_writes_nothing() {
    let log = Log::start();
    let (feed, slow) = Script::fed();
    let own = json!({ "by": "the second" });
    let scripts = [slow, Script::Answer(vec![own.clone()])];
    let rig = Rig::new(Scripted::new().on(READ, scripts)).await;
    let command_id = rig.submit(READ).await;
    let first = rig.dispatch();
    rig.connector.was_sent(READ, 1).await;
    let sql = "UPDATE command_queue SET lease_expires_at = $2 WHERE command_id = $1";
    let client = rig.sql().await;
    let ended = client.execute(sql, &[&command_id.0, &rig.now()]).await;
    assert_eq!(ended.unwrap(), 1);
    let second = rig.dispatch_elsewhere();
    let ended = rig.ended(command_id).await;
    assert_eq!(ended.status, CommandStatus::Completed);

    feed.last(json!({ "by": "the first" }));
    rig.connector.was_left_alone().await;
    first.stop().await;
    second.stop().await;
    assert!(log.contains("late response not stored"));
    assert_eq!(rig.look_at(command_id).await, ended);
    let stored: Vec<Value> = rig
        .responses(command_id)
        .await
        .into_iter()
        .map(|response| response.response_payload)
        .collect();
    assert_eq!(stored, [own]);
    rig.shows_one_end(command_id, None).await;
}

#[tokio::test]
async fn a_sweep_finds_what_nobody_announced() {
    let rig = Rig::new(Scripted::new()).await;
    let running = rig.dispatch_elsewhere();
    rig.is_heard_by(1).await;
    rig.pass_until(rig.next_sweep()).await;
    let next = rig.next_sweep();
    within("the next sweep", rig.timer.awaited(next)).await;
    let command_id = rig.submit(READ).await;
    rig.pass_until(next).await;
    let ended = rig.ended(command_id).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    assert_eq!(ended.started_at, Some(next), "nobody looked before");
    running.stop().await;
}
