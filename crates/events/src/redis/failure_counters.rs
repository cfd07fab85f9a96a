use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bb8_redis::redis::{FromRedisValue, Pipeline, pipe};
use chrono::{DateTime, Utc};
use tokio::time::{Instant, timeout};

use super::{
    connections::{Connections, PATIENCE},
    unavailable,
};
use crate::{
    bus::BusError,
    failure_counters::{BackoffPolicy, FailureCounters, LocalFailureCounters},
};

/// Counts a failure under each key; the arguments are the time and four numbers for each.
const FAIL: &str = include_str!("fail.lua");

/// Holds one key; the arguments are the time and until when.
const HOLD: &str = include_str!("hold.lua");

/// How long a Redis that was away is not asked, so that not every caller waits for it in vain.
const PAUSE: Duration = Duration::from_secs(2);

/// Attempts that all processes count together in one Redis. While it is away, each process counts
/// by itself.
///
/// Keys end by themselves, by Redis' own clock.
pub struct RedisFailureCounters {
    connections: Connections,
    prefix: String,
    stand_in: LocalFailureCounters,
    /// When it was found to be away, if it is.
    away: Mutex<Option<Instant>>,
}

impl RedisFailureCounters {
    pub(super) fn new(connections: Connections, prefix: &str) -> Self {
        Self {
            connections,
            prefix: prefix.to_owned(),
            stand_in: LocalFailureCounters::default(),
            away: Mutex::default(),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    /// The answer of Redis, or nothing while it is away.
    async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Option<T> {
        let is_paused = |since: Instant| since.elapsed() < PAUSE;
        if self.lock().is_some_and(is_paused) {
            return None;
        }
        let asking = async {
            let mut connection = self.connections.get().await?;
            let answer = pipeline.query_async(&mut *connection).await;
            answer.map_err(unavailable)
        };
        let answered = timeout(PATIENCE, asking).await.map_err(unavailable);
        match answered.flatten() {
            Ok(answer) => {
                self.found();
                Some(answer)
            }
            Err(error) => {
                self.missed(&error);
                None
            }
        }
    }

    fn found(&self) {
        if self.lock().take().is_some() {
            tracing::info!("attempts are counted in Redis again");
        }
    }

    fn missed(&self, error: &BusError) {
        if self.lock().replace(Instant::now()).is_none() {
            tracing::warn!(%error, "attempts are counted by each process while Redis is away");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl FailureCounters for RedisFailureCounters {
    async fn held(&self, names: &[&str], now: DateTime<Utc>) -> Vec<Option<DateTime<Utc>>> {
        let mut pipeline = pipe();
        for name in names {
            pipeline.cmd("HGET").arg(self.key(name)).arg("until");
        }
        // What was counted here while Redis was away, or held before it lost its memory, counts too.
        let here = self.stand_in.held(names, now).await;
        let Some(held) = self.ask::<Vec<Option<i64>>>(&pipeline).await else {
            return here;
        };
        let there = held
            .into_iter()
            .map(|until| DateTime::from_timestamp_millis(until?).filter(|until| *until > now));
        there
            .zip(here)
            .map(|(there, here)| there.max(here))
            .collect()
    }

    async fn fail(&self, failures: &[(&str, BackoffPolicy)], now: DateTime<Utc>) {
        let mut pipeline = pipe();
        pipeline.cmd("EVAL").arg(FAIL).arg(failures.len());
        for (name, _) in failures {
            pipeline.arg(self.key(name));
        }
        pipeline.arg(now.timestamp_millis());
        for (_, pace) in failures {
            pipeline.arg(pace.free);
            for span in [pace.first, pace.longest, pace.memory] {
                pipeline.arg(millis(span));
            }
        }
        if self.ask::<()>(&pipeline).await.is_none() {
            self.stand_in.fail(failures, now).await;
        }
    }

    async fn hold(&self, name: &str, until: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        // Here as well, so that it is known when Redis goes away.
        let was_free_here = self.stand_in.hold(name, until, now).await;
        let mut pipeline = pipe();
        pipeline.cmd("EVAL").arg(HOLD).arg(1).arg(self.key(name));
        pipeline.arg(now.timestamp_millis());
        pipeline.arg(until.timestamp_millis());
        match self.ask::<(bool,)>(&pipeline).await {
            Some((was_free,)) => was_free,
            None => was_free_here,
        }
    }

    async fn forget(&self, name: &str) {
        self.stand_in.forget(name).await;
        let mut pipeline = pipe();
        pipeline.cmd("DEL").arg(self.key(name));
        self.ask::<()>(&pipeline).await;
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
