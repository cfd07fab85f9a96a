//! Expiry, timeouts and backoff, to the microsecond.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use sovd_domain::{CommandStatus, FailureKind};
use sovd_services::commands::Submission;

use crate::{
    fixture::{OFFLINE, TestBed, submission, within},
    scripted_connector::{Script, ScriptedConnector, faults},
};

const READ: &str = "ReadDTC";
const CLEAR: &str = "ClearDTC";
const WRITE: &str = "WriteDataByID";
const MICROSECOND: TimeDelta = TimeDelta::microseconds(1);
const TIMEOUT: TimeDelta = TimeDelta::seconds(30);

fn to_offline(name: &str, expires_in: Option<Duration>) -> Submission {
    Submission {
        vehicle_id: OFFLINE,
        queue_if_offline: true,
        expires_in,
        ..submission(name)
    }
}

#[tokio::test]
async fn a_command_expires_exactly_at_its_expiry() {
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
        let bed = TestBed::new(ScriptedConnector::new()).await;
        let submitted_at = bed.now();
        let one = bed.submit_with(to_offline(name, expires_in)).await;
        bed.timer.advance(MICROSECOND);
        let other = bed.submit_with(to_offline(name, expires_in)).await;
        let running = bed.start_dispatcher();
        within("a sweep", bed.timer.awaited(bed.next_sweep())).await;
        let moment = submitted_at + expected;
        bed.timer.advance(moment - bed.now());
        let ended = bed.wait_for_end(one).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::Expired), "{name}");
        assert_eq!(ended.expires_at, moment);
        assert_eq!(ended.completed_at, Some(moment));
        // The sweep is over once the dispatcher sleeps until the next one.
        within("a sweep", bed.timer.awaited(bed.next_sweep())).await;
        let waiting = bed.command(other).await;
        assert_eq!(waiting.status, CommandStatus::Pending, "{name}");
        bed.advance_to(bed.next_sweep()).await;
        let ended = bed.wait_for_end(other).await;
        assert_eq!(ended.failure_kind, Some(FailureKind::Expired), "{name}");
        running.stop().await;
        assert!(bed.connector.requests().is_empty());
    }
}

#[tokio::test]
async fn a_command_is_sent_until_just_before_its_expiry() {
    for (early, send_count) in [(MICROSECOND, 1), (TimeDelta::zero(), 0)] {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        let command_id = bed.submit_with(to_offline(WRITE, None)).await;
        bed.timer.advance(TimeDelta::minutes(5) - early);
        bed.connect(OFFLINE).await;
        let running = bed.start_dispatcher();
        let ended = bed.wait_for_end(command_id).await;
        let kind = (send_count == 0).then_some(FailureKind::Expired);
        assert_eq!(ended.failure_kind, kind);
        running.stop().await;
        assert_eq!(bed.connector.request_count(WRITE, command_id), send_count);
    }
}

#[tokio::test]
async fn the_timeout_starts_with_the_sending() {
    let (feed, script) = Script::fed();
    let bed = TestBed::new(ScriptedConnector::new().on(WRITE, [script])).await;
    let command_id = bed.submit(WRITE).await;
    let running = bed.start_dispatcher();
    bed.connector.wait_for_request(WRITE, 1).await;
    let deadline = bed.now() + TIMEOUT;
    let steps = [
        TimeDelta::zero(),
        TimeDelta::seconds(20),
        TimeDelta::seconds(10) - MICROSECOND,
    ];
    for (stored, step) in (1..).zip(steps) {
        bed.timer.advance(step);
        feed.more(json!({ "part": stored }));
        bed.wait_for_responses(command_id, stored).await;
        within("the deadline", bed.timer.awaited(deadline)).await;
    }
    let command = bed.command(command_id).await;
    assert_eq!(command.status, CommandStatus::InProgress);
    bed.timer.advance(MICROSECOND);
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::OutcomeUnknown));
    assert_eq!(ended.completed_at, Some(deadline));
    assert_eq!(bed.responses(command_id).await.len(), 3);
    running.stop().await;
}

#[tokio::test]
async fn reading_evidence_does_not_shorten_the_timeout_of_the_clear() {
    let (feed, slow) = Script::fed();
    let connector = ScriptedConnector::new().on(READ, [slow, Script::faults("")]);
    let bed = TestBed::new(connector.on(CLEAR, [Script::Hang(Vec::new())])).await;
    let command_id = bed.submit(CLEAR).await;
    let running = bed.start_dispatcher();
    bed.connector.wait_for_request(READ, 1).await;
    within("a deadline", bed.timer.awaited(bed.now() + TIMEOUT)).await;
    bed.timer.advance(TimeDelta::seconds(29));
    feed.last(faults("P0420"));
    bed.connector.wait_for_request(CLEAR, 1).await;
    let deadline = bed.now() + TIMEOUT;
    bed.advance_to(deadline).await;
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.completed_at, Some(deadline));
    running.stop().await;
}

#[tokio::test]
async fn backoff_doubles_up_to_a_minute() {
    let bed = TestBed::new(ScriptedConnector::new().on(READ, [Script::unreachable()])).await;
    let command_id = bed.submit(READ).await;
    let running = bed.start_dispatcher();
    for (attempt, longest) in (1..).zip([1, 2, 4, 8, 16, 32, 60, 60]) {
        bed.connector.wait_for_request(READ, attempt).await;
        let due_at = bed.wait_for_retry(command_id).await;
        let longest = TimeDelta::seconds(longest);
        let delay = due_at - bed.now();
        assert!(
            longest / 2 <= delay && delay <= longest,
            "{delay} after {attempt}"
        );
        bed.timer.advance(delay - MICROSECOND);
        bed.assert_not_claimed(command_id).await;
        assert_eq!(bed.connector.request_count(READ, command_id), attempt);
        bed.timer.advance(MICROSECOND);
    }
    bed.connector.wait_for_request(READ, 9).await;
    running.stop().await;
}

#[tokio::test]
async fn backoff_ends_at_the_expiry() {
    let bed = TestBed::new(ScriptedConnector::new().on(READ, [Script::unreachable()])).await;
    let short_lived = Submission {
        expires_in: Some(Duration::from_millis(400)),
        ..submission(READ)
    };
    let command_id = bed.submit_with(short_lived).await;
    let running = bed.start_dispatcher();
    let due_at = bed.wait_for_retry(command_id).await;
    assert_eq!(due_at, bed.now() + TimeDelta::milliseconds(400));
    bed.advance_past_expiry(command_id).await;
    let ended = bed.wait_for_end(command_id).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::Expired));
    running.stop().await;
    assert_eq!(bed.connector.request_count(READ, command_id), 1);
}
