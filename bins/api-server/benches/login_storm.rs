//! Measures the latency of `GET /vehicles` without logins and during 50 concurrent ones, with the default
//! cost of password hashes. Prints a table and writes it as JSON to `target/bench`. Requires a release
//! build: `cargo bench -p sovd-api-server --bench login_storm`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark ends when it cannot measure, and prints what it measured"
)]

mod process;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use process::Process;
use serde_json::{Value, json};
use sovd_app::{Settings, migrate::Migrator};
use sovd_devstack::{Stack, TestDatabase};

const LOGINS: usize = 50;
const QUIET_REQUESTS: usize = 500;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let stack = Stack::shared().unwrap();
    let prepare = async |url: &str| {
        let migrator = Migrator::new(&Settings::for_tests(url, None));
        migrator.up().await?;
        migrator.seed(false).await
    };
    let database = stack.test_database("login_storm", prepare).await.unwrap();
    let server = Server::start(&database, stack.redis_url());
    let token = server.log_in().await;

    let mut quiet = Vec::new();
    for _ in 0..QUIET_REQUESTS {
        quiet.push(server.time_vehicles(&token).await);
    }
    let started = Instant::now();
    let mut storm = Vec::new();
    let logins = join_all((0..LOGINS).map(|_| server.log_in()));
    tokio::pin!(logins);
    loop {
        tokio::select! {
            _ = &mut logins => break,
            time = server.time_vehicles(&token) => storm.push(time),
        }
    }
    let duration = started.elapsed();
    report(quiet, storm, duration, server.process.status_kib("VmRSS:"));
}

fn report(
    mut quiet: Vec<Duration>,
    mut storm: Vec<Duration>,
    storm_time: Duration,
    resident_kib: u64,
) {
    let requests = storm.len();
    let (quiet, quiet_slow) = (share(&mut quiet, 50), share(&mut quiet, 99));
    let (busy, busy_slow) = (share(&mut storm, 50), share(&mut storm, 99));
    let ratio = busy / quiet;
    println!("{:<36} {quiet:>8.2} ms", "quiet, median");
    println!("{:<36} {quiet_slow:>8.2} ms", "quiet, p99");
    println!("{:<36} {busy:>8.2} ms", "during 50 logins, median");
    println!("{:<36} {busy_slow:>8.2} ms", "during 50 logins, p99");
    println!("{:<36} {ratio:>8.2}", "ratio of the medians");
    println!("{:<36} {requests:>8}", "requests during the logins");
    let seconds = storm_time.as_secs_f64();
    println!("{:<36} {seconds:>8.2} s", "duration of all 50 logins");
    println!(
        "{:<36} {resident_kib:>8} KiB",
        "resident memory after the logins"
    );
    let report = json!({
        "quiet_ms": quiet, "quiet_p99_ms": quiet_slow, "storm_ms": busy, "storm_p99_ms": busy_slow,
        "ratio": ratio, "requests": requests, "logins_s": seconds, "resident_kib": resident_kib,
    });
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("login_storm.json"), format!("{report}\n")).unwrap();
}

/// Returns a percentile of the times in milliseconds.
fn share(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    let index = (times.len() * percent / 100).min(times.len() - 1);
    times.get(index).unwrap().as_secs_f64() * 1000.0
}

struct Server {
    process: Process,
    http: reqwest::Client,
}

impl Server {
    fn start(database: &TestDatabase, redis_url: &str) -> Self {
        Self {
            process: Process::start(database.url(), redis_url, &[]),
            http: reqwest::Client::new(),
        }
    }

    /// Logs in and returns the access token.
    async fn log_in(&self) -> String {
        let url = format!("http://{}/api/v1/auth/login", self.process.address());
        let body = json!({ "username": "engineer", "password": "engineer123" });
        let response = self.http.post(url).json(&body).send().await.unwrap();
        let tokens: Value = response.error_for_status().unwrap().json().await.unwrap();
        let token = tokens.get("access_token").unwrap();
        token.as_str().unwrap().to_owned()
    }

    async fn time_vehicles(&self, token: &str) -> Duration {
        let url = format!("http://{}/api/v1/vehicles", self.process.address());
        let started = Instant::now();
        let response = self.http.get(url).bearer_auth(token).send().await.unwrap();
        response.error_for_status().unwrap().bytes().await.unwrap();
        started.elapsed()
    }
}
