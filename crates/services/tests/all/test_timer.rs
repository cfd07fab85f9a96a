use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use sovd_domain::Clock;
use sovd_services::Timer;
use tokio::sync::watch;

/// A clock that a test advances, and whose waiting tasks it can inspect. Clones share the time.
#[derive(Debug, Clone)]
pub(crate) struct TestTimer(Arc<watch::Sender<TimerState>>);

#[derive(Debug)]
struct TimerState {
    now: DateTime<Utc>,
    sleepers: BTreeMap<DateTime<Utc>, usize>,
}

impl TestTimer {
    /// Returns a clock that shows `now`.
    pub(crate) fn at(now: DateTime<Utc>) -> Self {
        let sleepers = BTreeMap::new();
        Self(Arc::new(watch::Sender::new(TimerState { now, sleepers })))
    }

    /// Advances the time and wakes the tasks that waited for it.
    pub(crate) fn advance(&self, step: TimeDelta) {
        self.0.send_modify(|state| state.now += step);
    }

    /// Waits until a task sleeps until exactly `moment`.
    pub(crate) async fn awaited(&self, moment: DateTime<Utc>) {
        let mut state = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = state
            .wait_for(|state| state.sleepers.contains_key(&moment))
            .await;
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
            let mut state = timer.0.subscribe();
            let _sleeper = Sleeper::new(timer.clone(), moment);
            let _ = state.wait_for(|state| state.now >= moment).await;
        })
    }
}

/// Registers a sleeping task until it is dropped.
struct Sleeper {
    timer: TestTimer,
    moment: DateTime<Utc>,
}

impl Sleeper {
    fn new(timer: TestTimer, moment: DateTime<Utc>) -> Self {
        timer
            .0
            .send_modify(|state| *state.sleepers.entry(moment).or_default() += 1);
        Self { timer, moment }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.timer.0.send_modify(|state| {
            if let Some(count) = state.sleepers.get_mut(&self.moment) {
                *count -= 1;
                if *count == 0 {
                    state.sleepers.remove(&self.moment);
                }
            }
        });
    }
}
