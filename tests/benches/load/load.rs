use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{
    task::spawn_local,
    time::{sleep, timeout},
};

use crate::{http::Failure, operation::Operation, server::Server, user::User};

/// The time before each measurement, in which connections open and caches fill.
const WARM_UP: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(30);
/// The delay after a failure, so that failures do not take the place of operations.
const PAUSE: Duration = Duration::from_millis(20);

/// The result of one measurement.
pub(crate) struct Outcome {
    /// Operations per second.
    pub(crate) rate: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Failed operations, including those of the warm-up and those that ended late.
    pub(crate) failures: usize,
    /// The failures whose connection or stream ended early.
    pub(crate) lost: usize,
    /// Processor time of the server for one operation.
    pub(crate) cpu_ms: f64,
    pub(crate) resident_mib: f64,
}

impl Outcome {
    /// Returns the result of something that is not the server.
    pub(crate) fn of_yardstick(rate: f64, p50_ms: f64, p99_ms: f64) -> Self {
        Self {
            rate,
            p50_ms,
            p99_ms,
            failures: 0,
            lost: 0,
            cpu_ms: f64::NAN,
            resident_mib: f64::NAN,
        }
    }
}

#[derive(Default)]
struct Tally {
    is_counting: Cell<bool>,
    has_ended: Cell<bool>,
    latencies: RefCell<Vec<Duration>>,
    failures: RefCell<Vec<Failure>>,
}

/// Lets users perform an operation again and again, each as soon as the previous one has ended.
pub(crate) async fn run(
    server: &Server,
    tokens: &[Rc<str>],
    operation: Operation,
    users: usize,
    duration: Duration,
) -> Outcome {
    let tally = Rc::new(Tally::default());
    let tasks = tokens.iter().cycle().take(users).enumerate();
    let tasks = tasks.map(|(number, token)| {
        let user = User::new(server.address, token, number);
        let tally = Rc::clone(&tally);
        spawn_local(repeat(user, operation, tally))
    });
    let tasks: Vec<_> = tasks.collect();

    sleep(WARM_UP).await;
    let (started, processor_time) = (Instant::now(), server.processor_time());
    tally.is_counting.set(true);
    sleep(duration).await;
    tally.is_counting.set(false);
    let seconds = started.elapsed().as_secs_f64();
    let processor_time = server.processor_time().saturating_sub(processor_time);
    let resident_mib = f64::from(server.resident_kib()) / 1024.0;
    tally.has_ended.set(true);
    for task in join_all(tasks).await {
        task.unwrap();
    }

    let latencies = tally.latencies.take();
    let failures = tally.failures.take();
    let count = as_float(latencies.len());
    let mut reasons = BTreeMap::<Failure, usize>::new();
    for failure in &failures {
        *reasons.entry(*failure).or_default() += 1;
    }
    if !failures.is_empty() {
        println!("{} of {users} users: {reasons:?}", operation.name());
    }
    let lost = failures.iter().filter(|failure| **failure == Failure::Lost);
    let (p50_ms, p99_ms) = percentiles(latencies);
    Outcome {
        rate: count / seconds,
        p50_ms,
        p99_ms,
        lost: lost.count(),
        failures: failures.len(),
        cpu_ms: processor_time.as_secs_f64() * 1000.0 / count,
        resident_mib,
    }
}

async fn repeat(mut user: User, operation: Operation, tally: Rc<Tally>) {
    while !tally.has_ended.get() {
        let started = Instant::now();
        let result = timeout(TIMEOUT, user.perform(operation)).await;
        match result.unwrap_or(Err(Failure::Timeout)) {
            Ok(()) if tally.is_counting.get() => {
                tally.latencies.borrow_mut().push(started.elapsed());
            }
            Ok(()) => (),
            Err(failure) => {
                tally.failures.borrow_mut().push(failure);
                sleep(PAUSE).await;
            }
        }
    }
}

/// Returns the median and the 99th percentile in milliseconds.
pub(crate) fn percentiles(mut latencies: Vec<Duration>) -> (f64, f64) {
    latencies.sort_unstable();
    let at = |percent: usize| {
        let latency = latencies.get(latencies.len() * percent / 100);
        latency.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    };
    (at(50), at(99))
}

pub(crate) fn as_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
