//! What is promised of attempts, shown on each way to count them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bb8_redis::redis::{Client, cmd};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use sovd_devstack::{Redis, SearchPath};
use sovd_events::{
    BackoffPolicy, FailureCounters, LocalFailureCounters, RedisBus, RedisCertificates, RedisServer,
};

/// Runs each function of the suite on each of them.
macro_rules! contract {
    ($($name:ident)+) => {
        mod local {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(&super::LocalFailureCounters::default()).await;
                }
            )+
        }

        mod redis {
            $(
                #[tokio::test]
                async fn $name() {
                    let server = super::Redis::start(&super::SearchPath::system()).unwrap();
                    let address =
                        super::RedisServer::new(&server.url(), &super::RedisCertificates::default());
                    let bus = super::RedisBus::new(address.unwrap(), "test", 8);
                    super::$name(&bus.attempts()).await;
                    // Otherwise it was the stand-in that kept the promise.
                    let keys = super::keys(&server).await;
                    assert!(keys.iter().any(|key| key.starts_with("test:")), "{keys:?}");
                }
            )+
        }
    };
}

contract! {
    free_failures_hold_nothing_and_each_further_one_doubles_the_delay
    the_delay_ends_at_the_longest
    failures_are_forgotten_after_the_memory_and_not_before
    several_names_fail_at_once_each_at_its_own_pace
    a_name_is_forgotten_on_demand
    whoever_holds_a_name_first_is_told
    a_name_is_held_longer_and_never_shorter
    of_many_failures_at_once_each_is_counted
}

const PACE: BackoffPolicy = BackoffPolicy {
    free: 3,
    first: Duration::from_secs(1),
    longest: Duration::from_secs(10),
    memory: Duration::from_secs(100),
};

/// Every key that the server has.
async fn keys(server: &Redis) -> Vec<String> {
    let client = Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .unwrap()
}

fn start() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

/// How many seconds from `now` the name is held.
async fn held(attempts: &dyn FailureCounters, name: &str, now: DateTime<Utc>) -> Option<i64> {
    let held = attempts.held(&[name], now).await;
    assert_eq!(held.len(), 1);
    held[0].map(|until| (until - now).num_seconds())
}

/// How many seconds each of so many failures at one moment holds the name.
async fn delays(
    attempts: &dyn FailureCounters,
    now: DateTime<Utc>,
    count: usize,
) -> Vec<Option<i64>> {
    let mut delays = Vec::new();
    for _ in 0..count {
        attempts.fail(&[("a", PACE)], now).await;
        delays.push(held(attempts, "a", now).await);
    }
    delays
}

async fn free_failures_hold_nothing_and_each_further_one_doubles_the_delay(
    attempts: &dyn FailureCounters,
) {
    assert_eq!(held(attempts, "a", start()).await, None);
    let delays = delays(attempts, start(), 6).await;
    assert_eq!(delays, [None, None, None, Some(1), Some(2), Some(4)]);
    assert_eq!(held(attempts, "b", start()).await, None);
    let end = start() + seconds(4);
    let before = end - TimeDelta::milliseconds(1);
    assert_eq!(attempts.held(&["a"], before).await, [Some(end)]);
    assert_eq!(attempts.held(&["a"], end).await, [None]);
}

async fn the_delay_ends_at_the_longest(attempts: &dyn FailureCounters) {
    let delays = delays(attempts, start(), 80).await;
    assert_eq!(delays[6], Some(8));
    assert!(delays[7..].iter().all(|delay| *delay == Some(10)));
}

async fn failures_are_forgotten_after_the_memory_and_not_before(attempts: &dyn FailureCounters) {
    delays(attempts, start(), 3).await;
    let almost = start() + seconds(99);
    assert_eq!(delays(attempts, almost, 1).await, [Some(1)]);
    let over = almost + seconds(100);
    assert_eq!(delays(attempts, over, 4).await[2..], [None, Some(1)]);
}

async fn several_names_fail_at_once_each_at_its_own_pace(attempts: &dyn FailureCounters) {
    let strict = BackoffPolicy {
        free: 0,
        first: Duration::from_secs(7),
        ..PACE
    };
    attempts.fail(&[("a", PACE), ("b", strict)], start()).await;
    attempts.fail(&[("b", strict)], start()).await;
    let until = start() + seconds(10);
    let held = attempts.held(&["a", "b", "c"], start()).await;
    assert_eq!(held, [None, Some(until), None]);
}

async fn a_name_is_forgotten_on_demand(attempts: &dyn FailureCounters) {
    let first = delays(attempts, start(), 5).await;
    attempts.forget("a").await;
    assert_eq!(held(attempts, "a", start()).await, None);
    assert_eq!(delays(attempts, start(), 5).await, first);
}

async fn whoever_holds_a_name_first_is_told(attempts: &dyn FailureCounters) {
    let until = start() + seconds(10);
    let holding = (0..20).map(|_| attempts.hold("a", until, start()));
    let told = join_all(holding).await;
    assert_eq!(told.iter().filter(|was_free| **was_free).count(), 1);
    let again = until + seconds(1);
    assert!(!attempts.hold("a", again, until - seconds(1)).await);
    assert!(attempts.hold("a", again + seconds(1), again).await);
}

async fn a_name_is_held_longer_and_never_shorter(attempts: &dyn FailureCounters) {
    attempts.hold("a", start() + seconds(5), start()).await;
    attempts.hold("a", start() + seconds(9), start()).await;
    attempts.hold("a", start() + seconds(3), start()).await;
    assert_eq!(held(attempts, "a", start()).await, Some(9));
    assert_eq!(held(attempts, "a", start() + seconds(9)).await, None);
}

async fn of_many_failures_at_once_each_is_counted(attempts: &dyn FailureCounters) {
    let patient = BackoffPolicy { free: 50, ..PACE };
    let failures = [("a", patient)];
    join_all((0..50).map(|_| attempts.fail(&failures, start()))).await;
    assert_eq!(held(attempts, "a", start()).await, None);
    attempts.fail(&failures, start()).await;
    assert_eq!(held(attempts, "a", start()).await, Some(1));
}
