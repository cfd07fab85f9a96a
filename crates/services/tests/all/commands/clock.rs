//! What happens at which moment, to the microsecond.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use sovd_domain::{CommandStatus, FailureKind};
use sovd_services::commands::Submission;

use crate::{
    fixture::{OFFLINE, Rig, submission, within},
    scripted_connector::{Script, Scripted, faults},
};

const READ: &str = "ReadDTC";
const CLEAR: &str = "ClearDTC";
const WRITE: &str = "WriteDataByID";
const MICROSECOND: TimeDelta = TimeDelta::microseconds(1);
const TIMEOUT: TimeDelta = TimeDelta::seconds(30);

fn absent(name: &str, expires_in: Option<Duration>) -> Submission {
    Submission {
        vehicle_id: OFFLINE,
        queue_if_offline: true,
        expires_in,
        ..submission(name)
    }
}

#[tokio::test]
async fn a_command_expires_at_its_moment_and_not_before() {
    let long = Duration::from_hours(2);
    let short = Duration::from_secs(7);
    for (name, expires_in, expected) in [
        (READ, None, TimeDelta::hours(1)),
        (CLEAR, None, TimeDelta::minutes(5)),
        (WRITE, None, TimeDelta::minutes(5)),
        ("StartRoutine", None, TimeDelta::minutes(5)),
        (READ, Some(short), TimeDelta::seconds(7)),
        (CLEAR, Some(long), TimeDelta::hours(2)),
    ] {
        let rig = Rig::new(Scripted::new()).await;
        let submitted_at = rig.now();
        let one = rig.send(absent(name, expires_in)).await;
        rig.timer.advance(MICROSECOND);
        let other = rig.send(absent(name, expires_in)).await;
        let running = rig.dispatch();
        within("a sweep", rig.timer.awaited(rig.next_sweep())).await;
        let moment = submitted_at + expected;
        rig.timer.advance(moment - rig.now());
        let ended = rig.ended(one).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::Expired), "{name}");
        assert_eq!(ended.expires_at, moment);
        assert_eq!(ended.completed_at, Some(moment));
        // Once it waits for the next sweep, this one is over.
        within("a sweep", rig.timer.awaited(rig.next_sweep())).await;
        let waiting = rig.look_at(other).await;
        assert_eq!(waiting.status, CommandStatus::Pending, "{name}");
        rig.pass_until(rig.next_sweep()).await;
        let ended = rig.ended(other).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::Expired), "{name}");
        running.stop().await;
        assert!(rig.connector.asked().is_empty());
    }
}

#[tokio::test]
async fn it_is_sent_until_its_moment_and_not_then() {
    for (early, sends) in [(MICROSECOND, 1), (TimeDelta::zero(), 0)] {
        let rig = Rig::new(Scripted::new()).await;
        let command_id = rig.send(absent(WRITE, None)).await;
        rig.timer.advance(TimeDelta::minutes(5) - early);
        rig.connect(OFFLINE).await;
        let running = rig.dispatch();
        let ended = rig.ended(command_id).await;
        let kind = (sends == 0).then_some(FailureKind::Expired);
        assert_eq!(ended.failure_kind, kind);
        running.stop().await;
        assert_eq!(rig.connector.executions(WRITE, command_id), sends);
    }
}

#[tokio::test]
async fn the_time_to_answer_counts_from_the_sending() {
    let (feed, script) = Script::fed();
    let rig = Rig::new(Scripted::new().on(WRITE, [script])).await;
    let command_id = rig.submit(WRITE).await;
    let running = rig.dispatch();
    rig.connector.was_sent(WRITE, 1).await;
    let deadline = rig.now() + TIMEOUT;
    let steps = [
        TimeDelta::zero(),
        TimeDelta::seconds(20),
        TimeDelta::seconds(10) - MICROSECOND,
    ];
    for (stored, step) in (1..).zip(steps) {
        rig.timer.advance(step);
        feed.more(json!({ "part": stored }));
        rig.has_responses(command_id, stored).await;
        within("the deadline", rig.timer.awaited(deadline)).await;
    }
    let command = rig.look_at(command_id).await;
    assert_eq!(command.status, CommandStatus::InProgress);
    rig.timer.advance(MICROSECOND);
    let ended = rig.ended(command_id).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::OutcomeUnknown));
    assert_eq!(ended.completed_at, Some(deadline));
    assert_eq!(rig.responses(command_id).await.len(), 3);
    running.stop().await;
}

#[tokio::test]
async fn evidence_takes_no_time_away_from_the_clearing() {
    let (feed, slow) = Script::fed();
    let connector = Scripted::new().on(READ, [slow, Script::faults("")]);
    let rig = Rig::new(connector.on(CLEAR, [Script::Hang(Vec::new())])).await;
    let command_id = rig.submit(CLEAR).await;
    let running = rig.dispatch();
    rig.connector.was_sent(READ, 1).await;
    within("a deadline", rig.timer.awaited(rig.now() + TIMEOUT)).await;
    rig.timer.advance(TimeDelta::seconds(29));
    feed.last(faults("P0420"));
    rig.connector.was_sent(CLEAR, 1).await;
    let deadline = rig.now() + TIMEOUT;
    rig.pass_until(deadline).await;
    let ended = rig.ended(command_id).await;
    assert_eq!(ended.completed_at, Some(deadline));
    running.stop().await;
}

#[tokio::test]
async fn pauses_double_up_to_a_minute_and_are_kept() {
    let rig = Rig::new(Scripted::new().on(READ, [Script::no_link()])).await;
    let command_id = rig.submit(READ).await;
    let running = rig.dispatch();
    for (tries, longest) in (1..).zip([1, 2, 4, 8, 16, 32, 60, 60]) {
        rig.connector.was_sent(READ, tries).await;
        let due_at = rig.is_put_off(command_id).await;
        let longest = TimeDelta::seconds(longest);
        let pause = due_at - rig.now();
        assert!(
            longest / 2 <= pause && pause <= longest,
            "{pause} after {tries}"
        );
        rig.timer.advance(pause - MICROSECOND);
        rig.is_passed_over(command_id).await;
        assert_eq!(rig.connector.executions(READ, command_id), tries);
        rig.timer.advance(MICROSECOND);
    }
    rig.connector.was_sent(READ, 9).await;
    running.stop().await;
}

#[tokio::test]
async fn a_pause_is_over_when_the_command_expires() {
    let rig = Rig::new(Scripted::new().on(READ, [Script::no_link()])).await;
    let hurried = Submission {
        expires_in: Some(Duration::from_millis(400)),
        ..submission(READ)
    };
    let command_id = rig.send(hurried).await;
    let running = rig.dispatch();
    let due_at = rig.is_put_off(command_id).await;
    assert_eq!(due_at, rig.now() + TimeDelta::milliseconds(400));
    rig.pass_expiry(command_id).await;
    let ended = rig.ended(command_id).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::Expired));
    running.stop().await;
    assert_eq!(rig.connector.executions(READ, command_id), 1);
}
