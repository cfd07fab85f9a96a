//! The contract of [`FailureCounters`], run against each implementation.

use std::time::Duration;

use bb8_redis::redis::{Client, cmd};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use sovd_devstack::{Redis, SearchPath};
use sovd_events::{
    BackoffPolicy, FailureCounters, LocalFailureCounters, RedisBus, RedisCertificates, RedisServer,
};

/// Runs each test function against each implementation.
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
                    super::$name(&bus.failure_counters()).await;
                    // Otherwise the local fallback would have passed the test.
                    let keys = super::keys(&server).await;
                    assert!(keys.iter().any(|key| key.starts_with("test:")), "{keys:?}");
                }
            )+
        }
    };
}

contract! {
    blocks_after_the_free_failures_and_doubles_the_delay
    limits_the_delay_to_the_longest
    resets_the_count_only_after_the_memory
    applies_a_policy_to_each_of_several_names
    resets_a_name_on_request
    tells_one_of_several_callers_that_the_name_was_free
    extends_a_block_and_never_shortens_it
    counts_every_concurrent_failure
}

const POLICY: BackoffPolicy = BackoffPolicy {
    free: 3,
    first: Duration::from_secs(1),
    longest: Duration::from_secs(10),
    memory: Duration::from_secs(100),
};

/// Returns every key of the server.
async fn keys(server: &Redis) -> Vec<String> {
    let client = Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .unwrap()
}

pub(crate) fn start() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

/// Returns for how many seconds from `now` the name is blocked.
async fn blocked_for(
    counters: &dyn FailureCounters,
    name: &str,
    now: DateTime<Utc>,
) -> Option<i64> {
    let blocked = counters.blocked_until(&[name], now).await;
    assert_eq!(blocked.len(), 1);
    blocked[0].map(|until| (until - now).num_seconds())
}

/// Records `count` failures at `now` and returns the block in seconds after each.
async fn delays(
    counters: &dyn FailureCounters,
    now: DateTime<Utc>,
    count: usize,
) -> Vec<Option<i64>> {
    let mut delays = Vec::new();
    for _ in 0..count {
        counters.record_failures(&[("a", POLICY)], now).await;
        delays.push(blocked_for(counters, "a", now).await);
    }
    delays
}

async fn blocks_after_the_free_failures_and_doubles_the_delay(counters: &dyn FailureCounters) {
    assert_eq!(blocked_for(counters, "a", start()).await, None);
    let delays = delays(counters, start(), 6).await;
    assert_eq!(delays, [None, None, None, Some(1), Some(2), Some(4)]);
    assert_eq!(blocked_for(counters, "b", start()).await, None);
    let end = start() + seconds(4);
    let before = end - TimeDelta::milliseconds(1);
    assert_eq!(counters.blocked_until(&["a"], before).await, [Some(end)]);
    assert_eq!(counters.blocked_until(&["a"], end).await, [None]);
}

async fn limits_the_delay_to_the_longest(counters: &dyn FailureCounters) {
    let delays = delays(counters, start(), 80).await;
    assert_eq!(delays[6], Some(8));
    assert!(delays[7..].iter().all(|delay| *delay == Some(10)));
}

async fn resets_the_count_only_after_the_memory(counters: &dyn FailureCounters) {
    delays(counters, start(), 3).await;
    let almost = start() + seconds(99);
    assert_eq!(delays(counters, almost, 1).await, [Some(1)]);
    let later = almost + seconds(100);
    assert_eq!(delays(counters, later, 4).await[2..], [None, Some(1)]);
}

async fn applies_a_policy_to_each_of_several_names(counters: &dyn FailureCounters) {
    let strict = BackoffPolicy {
        free: 0,
        first: Duration::from_secs(7),
        ..POLICY
    };
    counters
        .record_failures(&[("a", POLICY), ("b", strict)], start())
        .await;
    counters.record_failures(&[("b", strict)], start()).await;
    let until = start() + seconds(10);
    let blocked = counters.blocked_until(&["a", "b", "c"], start()).await;
    assert_eq!(blocked, [None, Some(until), None]);
}

async fn resets_a_name_on_request(counters: &dyn FailureCounters) {
    let first = delays(counters, start(), 5).await;
    counters.reset("a").await;
    assert_eq!(blocked_for(counters, "a", start()).await, None);
    assert_eq!(delays(counters, start(), 5).await, first);
}

async fn tells_one_of_several_callers_that_the_name_was_free(counters: &dyn FailureCounters) {
    let until = start() + seconds(10);
    let results = join_all((0..20).map(|_| counters.block("a", until, start()))).await;
    assert_eq!(results.iter().filter(|was_free| **was_free).count(), 1);
    let again = until + seconds(1);
    assert!(!counters.block("a", again, until - seconds(1)).await);
    assert!(counters.block("a", again + seconds(1), again).await);
}

async fn extends_a_block_and_never_shortens_it(counters: &dyn FailureCounters) {
    counters.block("a", start() + seconds(5), start()).await;
    counters.block("a", start() + seconds(9), start()).await;
    counters.block("a", start() + seconds(3), start()).await;
    assert_eq!(blocked_for(counters, "a", start()).await, Some(9));
    assert_eq!(blocked_for(counters, "a", start() + seconds(9)).await, None);
}

async fn counts_every_concurrent_failure(counters: &dyn FailureCounters) {
    let lenient = BackoffPolicy { free: 50, ..POLICY };
    let failures = [("a", lenient)];
    join_all((0..50).map(|_| counters.record_failures(&failures, start()))).await;
    assert_eq!(blocked_for(counters, "a", start()).await, None);
    counters.record_failures(&failures, start()).await;
    assert_eq!(blocked_for(counters, "a", start()).await, Some(1));
}
