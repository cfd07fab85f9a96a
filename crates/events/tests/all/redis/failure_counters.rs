use std::time::Duration;

use chrono::TimeDelta;
use sovd_events::{BackoffPolicy, FailureCounters, RedisFailureCounters};
use tokio::time::timeout;

use super::server::Server;
use crate::{failure_counters::start, subscription::DEADLINE};

/// Blocks for a minute after every failure.
pub(super) const STRICT: BackoffPolicy = BackoffPolicy {
    free: 0,
    first: Duration::from_mins(1),
    longest: Duration::from_mins(1),
    memory: Duration::from_mins(2),
};

pub(super) async fn is_blocked(counters: &RedisFailureCounters, name: &str) -> bool {
    counters.blocked_until(&[name], start()).await != [None]
}

#[tokio::test]
async fn counts_failures_of_processes_with_one_prefix_together() {
    let server = Server::start();
    let (one, other) = (server.bus_of("x"), server.bus_of("x"));
    let unrelated = server.bus_of("y");
    one.failure_counters()
        .record_failures(&[("a", STRICT)], start())
        .await;
    assert!(is_blocked(&other.failure_counters(), "a").await);
    assert!(!is_blocked(&unrelated.failure_counters(), "a").await);
    one.failure_counters().reset("a").await;
    assert!(!is_blocked(&other.failure_counters(), "a").await);
}

#[tokio::test]
async fn expires_every_key() {
    let server = Server::start();
    let bus = server.bus_of("x");
    let counters = bus.failure_counters();
    counters
        .record_failures(&[("failed", STRICT)], start())
        .await;
    let until = start() + TimeDelta::days(30);
    counters.block("held", until, start()).await;
    for (key, longest) in [("x:failed", 120_000), ("x:held", 30 * 86_400_000)] {
        let left: i64 = server.ask(&["PTTL", key]).await;
        let expected = longest - 20_000..=longest;
        assert!(expected.contains(&left), "{key} {left}");
    }
}

#[tokio::test]
async fn counts_locally_while_redis_is_unavailable() {
    let server = Server::start();
    let (one, other) = (server.bus(), server.bus());
    let (one, other) = (one.failure_counters(), other.failure_counters());
    let until = start() + TimeDelta::days(30);
    one.block("earlier", until, start()).await;
    server.redis.stop().unwrap();
    let meanwhile = async {
        one.record_failures(&[("a", STRICT)], start()).await;
        assert!(is_blocked(&one, "a").await);
        assert!(
            is_blocked(&one, "earlier").await,
            "blocked before the outage"
        );
        assert!(!is_blocked(&other, "a").await);
    };
    timeout(DEADLINE, meanwhile).await.unwrap();

    server.redis.start_again().unwrap();
    let together = async {
        while !is_blocked(&other, "b").await {
            one.record_failures(&[("b", STRICT)], start()).await;
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, together).await.unwrap();
}

#[tokio::test]
async fn does_not_block_callers_on_a_frozen_redis() {
    let server = Server::start();
    let bus = server.bus_of("x");
    let counters = bus.failure_counters();
    assert!(!is_blocked(&counters, "a").await);
    server.redis.pause().unwrap();
    let failures = async {
        // Only one of them waits for the timeout.
        for _ in 0..1000 {
            counters.record_failures(&[("a", STRICT)], start()).await;
        }
    };
    timeout(DEADLINE, failures).await.unwrap();
    assert!(is_blocked(&counters, "a").await);
    server.redis.resume().unwrap();
}
