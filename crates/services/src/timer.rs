//! The clock as a parameter.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use sovd_domain::{Clock, SystemClock};
use tokio::{sync::watch, time::sleep};

/// A clock that tasks can sleep by.
pub trait Timer: Clock {
    /// Completes when the clock reaches `moment`, at once if it has passed.
    fn sleep_until(&self, moment: DateTime<Utc>) -> BoxFuture<'static, ()>;
}

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemTimer;

impl Clock for SystemTimer {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now()
    }
}

impl Timer for SystemTimer {
    fn sleep_until(&self, moment: DateTime<Utc>) -> BoxFuture<'static, ()> {
        let span = (moment - self.now()).to_std().unwrap_or_default();
        Box::pin(sleep(span))
    }
}

/// A clock that only a test advances, and that knows which moments tasks sleep until. Clones share the
/// time.
#[derive(Debug, Clone)]
pub struct TestTimer(Arc<watch::Sender<Scene>>);

#[derive(Debug)]
struct Scene {
    now: DateTime<Utc>,
    sleepers: BTreeMap<DateTime<Utc>, usize>,
}

impl TestTimer {
    /// Creates a clock that shows `now`.
    pub fn at(now: DateTime<Utc>) -> Self {
        let sleepers = BTreeMap::new();
        Self(Arc::new(watch::Sender::new(Scene { now, sleepers })))
    }

    /// Advances the time and wakes the tasks whose moment has come.
    pub fn advance(&self, step: TimeDelta) {
        self.0.send_modify(|scene| scene.now += step);
    }

    /// Waits until a task sleeps until exactly `moment`.
    pub async fn awaited(&self, moment: DateTime<Utc>) {
        let mut scene = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = scene
            .wait_for(|scene| scene.sleepers.contains_key(&moment))
            .await;
    }

    /// Returns the moments that tasks sleep until, soonest first.
    pub fn sleepers(&self) -> Vec<DateTime<Utc>> {
        self.0.borrow().sleepers.keys().copied().collect()
    }
}

impl Clock for TestTimer {
    fn now(&self) -> DateTime<Utc> {
        self.0.borrow().now
    }
}

impl Timer for TestTimer {
    fn sleep_until(&self, moment: DateTime<Utc>) -> BoxFuture<'static, ()> {
        let timer = self.clone();
        Box::pin(async move {
            let mut scene = timer.0.subscribe();
            let _asleep = Asleep::new(timer.clone(), moment);
            let _ = scene.wait_for(|scene| scene.now >= moment).await;
        })
    }
}

/// Counts as a sleeper until it is dropped.
struct Asleep {
    timer: TestTimer,
    moment: DateTime<Utc>,
}

impl Asleep {
    fn new(timer: TestTimer, moment: DateTime<Utc>) -> Self {
        timer
            .0
            .send_modify(|scene| *scene.sleepers.entry(moment).or_default() += 1);
        Self { timer, moment }
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        self.timer.0.send_modify(|scene| {
            if let Some(count) = scene.sleepers.get_mut(&self.moment) {
                *count -= 1;
                if *count == 0 {
                    scene.sleepers.remove(&self.moment);
                }
            }
        });
    }
}
