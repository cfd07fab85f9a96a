use std::time::Duration;

use async_trait::async_trait;
use bb8_redis::redis::{FromRedisValue, Pipeline, pipe};
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::{
    connections::{Connections, TIMEOUT},
    unavailable,
};
use crate::failure_counters::{BackoffPolicy, FailureCounters, LocalFailureCounters};

/// Counts a failure of each key; the arguments are the time and the four numbers of each policy.
const FAIL: &str = include_str!("fail.lua");

/// Blocks one key; the arguments are the time and the end of the block.
const BLOCK: &str = include_str!("block.lua");

/// How long Redis is not queried after a failure, so that not every caller waits for the timeout.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Failure counters that processes share in Redis. While Redis is unavailable, each process counts by
/// itself.
///
/// Keys expire by the clock of Redis.
pub struct RedisFailureCounters {
    connections: Connections,
    prefix: String,
    fallback: LocalFailureCounters,
    /// The time of the last failure, if Redis has not responded since.
    failed_at: Mutex<Option<Instant>>,
}

impl RedisFailureCounters {
    pub(super) fn new(connections: Connections, prefix: &str) -> Self {
        Self {
            connections,
            prefix: prefix.to_owned(),
            fallback: LocalFailureCounters::default(),
            failed_at: Mutex::default(),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    /// Returns the response of Redis, or `None` while it is unavailable.
    async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Option<T> {
        let is_recent = |failure: Instant| failure.elapsed() < RETRY_DELAY;
        if self.failed_at.lock().is_some_and(is_recent) {
            return None;
        }
        let query = async {
            let mut connection = self.connections.get().await?;
            let response = pipeline.query_async(&mut *connection).await;
            response.map_err(unavailable)
        };
        let response = timeout(TIMEOUT, query).await.map_err(unavailable);
        match response.flatten() {
            Ok(response) => {
                if self.failed_at.lock().take().is_some() {
                    tracing::info!("failures are counted in redis again");
                }
                Some(response)
            }
            Err(error) => {
                if self.failed_at.lock().replace(Instant::now()).is_none() {
                    tracing::warn!(%error, "redis is unavailable; each process counts failures alone");
                }
                None
            }
        }
    }
}

#[async_trait]
impl FailureCounters for RedisFailureCounters {
    async fn blocked_until(
        &self,
        names: &[&str],
        now: DateTime<Utc>,
    ) -> Vec<Option<DateTime<Utc>>> {
        let mut pipeline = pipe();
        for name in names {
            pipeline.cmd("HGET").arg(self.key(name)).arg("until");
        }
        // Local blocks count too: Redis may have been unavailable, or lost its memory.
        let local = self.fallback.blocked_until(names, now).await;
        let Some(shared) = self.query::<Vec<Option<i64>>>(&pipeline).await else {
            return local;
        };
        let shared = shared
            .into_iter()
            .map(|until| DateTime::from_timestamp_millis(until?).filter(|until| *until > now));
        shared
            .zip(local)
            .map(|(shared, local)| shared.max(local))
            .collect()
    }

    async fn record_failures(&self, failures: &[(&str, BackoffPolicy)], now: DateTime<Utc>) {
        let mut pipeline = pipe();
        pipeline.cmd("EVAL").arg(FAIL).arg(failures.len());
        for (name, _) in failures {
            pipeline.arg(self.key(name));
        }
        pipeline.arg(now.timestamp_millis());
        for (_, policy) in failures {
            pipeline.arg(policy.free);
            for span in [policy.first, policy.longest, policy.memory] {
                pipeline.arg(millis(span));
            }
        }
        if self.query::<()>(&pipeline).await.is_none() {
            self.fallback.record_failures(failures, now).await;
        }
    }

    async fn block(&self, name: &str, until: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        // Locally too, so that the block outlasts an outage of Redis.
        let was_free_locally = self.fallback.block(name, until, now).await;
        let mut pipeline = pipe();
        pipeline.cmd("EVAL").arg(BLOCK).arg(1).arg(self.key(name));
        pipeline.arg(now.timestamp_millis());
        pipeline.arg(until.timestamp_millis());
        match self.query::<(bool,)>(&pipeline).await {
            Some((was_free,)) => was_free,
            None => was_free_locally,
        }
    }

    async fn reset(&self, name: &str) {
        self.fallback.reset(name).await;
        let mut pipeline = pipe();
        pipeline.cmd("DEL").arg(self.key(name));
        self.query::<()>(&pipeline).await;
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
