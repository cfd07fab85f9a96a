use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sovd_events::{BackoffPolicy, FailureCounters, RedisFailureCounters};
use tokio::time::timeout;

use crate::{server::Server, signals::DEADLINE};

/// Every failure holds, for a minute.
const STRICT: BackoffPolicy = BackoffPolicy {
    free: 0,
    first: Duration::from_mins(1),
    longest: Duration::from_mins(1),
    memory: Duration::from_mins(2),
};

pub(crate) fn start() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

async fn is_held(attempts: &RedisFailureCounters, name: &str) -> bool {
    attempts.held(&[name], start()).await != [None]
}

#[tokio::test]
async fn processes_with_one_prefix_count_together() {
    let server = Server::start();
    let (one, other) = (server.bus_of("x"), server.bus_of("x"));
    let foreign = server.bus_of("y");
    one.attempts().fail(&[("a", STRICT)], start()).await;
    assert!(is_held(&other.attempts(), "a").await);
    assert!(!is_held(&foreign.attempts(), "a").await);
    one.attempts().forget("a").await;
    assert!(!is_held(&other.attempts(), "a").await);
}

#[tokio::test]
async fn no_key_stays_for_good() {
    let server = Server::start();
    let bus = server.bus_of("x");
    let attempts = bus.attempts();
    attempts.fail(&[("failed", STRICT)], start()).await;
    let until = start() + TimeDelta::days(30);
    attempts.hold("held", until, start()).await;
    for (key, longest) in [("x:failed", 120_000), ("x:held", 30 * 86_400_000)] {
        let left: i64 = server.ask(&["PTTL", key]).await;
        let expected = longest - 20_000..=longest;
        assert!(expected.contains(&left), "{key} {left}");
    }
}

#[tokio::test]
async fn while_redis_is_away_each_process_counts_by_itself() {
    let server = Server::start();
    let (one, other) = (server.bus(), server.bus());
    let (one, other) = (one.attempts(), other.attempts());
    let until = start() + TimeDelta::days(30);
    one.hold("known", until, start()).await;
    server.redis.stop().unwrap();
    let meanwhile = async {
        one.fail(&[("a", STRICT)], start()).await;
        assert!(is_held(&one, "a").await);
        assert!(is_held(&one, "known").await, "it was known before");
        assert!(!is_held(&other, "a").await);
    };
    timeout(DEADLINE, meanwhile).await.unwrap();

    server.redis.start_again().unwrap();
    let together = async {
        while !is_held(&other, "b").await {
            one.fail(&[("b", STRICT)], start()).await;
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, together).await.unwrap();
}

#[tokio::test]
async fn a_frozen_redis_holds_nobody_up_for_long() {
    let server = Server::start();
    let bus = server.bus_of("x");
    let attempts = bus.attempts();
    assert!(!is_held(&attempts, "a").await);
    server.redis.pause().unwrap();
    let asking = async {
        // One of them finds out, the others do not wait.
        for _ in 0..1000 {
            attempts.fail(&[("a", STRICT)], start()).await;
        }
    };
    timeout(DEADLINE, asking).await.unwrap();
    assert!(is_held(&attempts, "a").await);
    server.redis.resume().unwrap();
}
