use std::{
    rc::Rc,
    thread::{self, available_parallelism},
    time::{Duration, Instant},
};

use crate::{
    Context,
    arguments::Part,
    databases::{self, Role},
    load::{self, Outcome, as_float, percentiles},
    operation::Operation,
    samples::{Sample, Samples, Subject},
    server::Server,
};

const COST: u32 = 12;
/// A login takes so long that a short measurement would count few.
const LEAST_DURATION: Duration = Duration::from_secs(10);
/// With more users, logins wait so long that the server rejects some.
const MAX_USERS: usize = 64;

/// Measures logins, and bcrypt alone on as many cores as the server gives to it.
pub(crate) async fn measure(context: &Context<'_>, samples: &mut Samples) {
    if !context.includes(Part::Login) {
        return;
    }
    let duration = context.duration().max(LEAST_DURATION);
    for (index, binaries) in context.binaries.iter().enumerate() {
        let database = format!("login{index}");
        let url = databases::create(context.postgres, &database, binaries, Role::Engineer).await;
        let cost = COST.to_string();
        let settings = [("SOVD__AUTH__BCRYPT_COST", cost.as_str())];
        let server = Server::start(binaries, &url, &settings);
        let users = context.arguments.users.iter().copied();
        for users in users.filter(|users| *users <= MAX_USERS) {
            let outcome =
                load::run(&server, &[Rc::from("")], Operation::Login, users, duration).await;
            samples.add(sample(Subject::Server(index), users, outcome));
        }
    }
    let cores = available_parallelism().unwrap().get();
    let permits = (cores / 2).max(1);
    samples.add(sample(Subject::Yardstick, 1, bare(permits, duration)));
}

fn sample(subject: Subject, users: usize, outcome: Outcome) -> Sample {
    Sample {
        round: 0,
        subject,
        operation: Operation::Login,
        users,
        outcome,
    }
}

/// Hashes a password again and again on a number of threads.
fn bare(threads: usize, duration: Duration) -> Outcome {
    let started = Instant::now();
    let hashing = (0..threads).map(|_| {
        thread::spawn(move || {
            let mut latencies = Vec::new();
            while started.elapsed() < duration {
                let before = Instant::now();
                bcrypt::hash("engineer123", COST).unwrap();
                latencies.push(before.elapsed());
            }
            latencies
        })
    });
    let threads: Vec<_> = hashing.collect();
    let latencies = threads.into_iter().map(|thread| thread.join().unwrap());
    let latencies: Vec<Duration> = latencies.flatten().collect();
    let rate = as_float(latencies.len()) / started.elapsed().as_secs_f64();
    let (p50_ms, p99_ms) = percentiles(latencies);
    Outcome::of_yardstick(rate, p50_ms, p99_ms)
}
