//! Measures the time from the start of the server until it is ready, with a migrated database, and its idle
//! memory. Prints a table and writes it as JSON to `target/bench`. Requires a release build:
//! `cargo bench -p sovd-api-server --bench startup`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark ends when it cannot measure, and prints what it measured"
)]

mod process;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use process::Process;
use sovd_app::{Settings, migrate::Migrator};
use sovd_devstack::Stack;

const RUNS: usize = 10;

struct Sample {
    ready: Duration,
    resident_kib: u64,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stack = Stack::shared().unwrap();
    let migrate = async |url: &str| {
        Migrator::new(&Settings::for_tests(url, None))
            .up()
            .await
            .map(|_| ())
    };
    let database = runtime
        .block_on(stack.test_database("migrated", migrate))
        .unwrap();
    let mut samples: Vec<Sample> = (0..RUNS)
        .map(|_| measure(database.url(), stack.redis_url()))
        .collect();
    samples.sort_by_key(|sample| sample.ready);

    let middle = samples.get(RUNS / 2).unwrap();
    let slowest = samples.last().unwrap();
    let largest = samples
        .iter()
        .map(|sample| sample.resident_kib)
        .max()
        .unwrap();
    println!(
        "{:<28} {:>10}",
        "start to ready, median",
        millis(middle.ready)
    );
    println!(
        "{:<28} {:>10}",
        "start to ready, slowest",
        millis(slowest.ready)
    );
    println!("{:<28} {:>6} KiB", "idle resident memory, largest", largest);
    let report = format!(
        "{{\"runs\":{RUNS},\"ready_median_ms\":{},\"ready_slowest_ms\":{},\"resident_kib\":{largest}}}\n",
        middle.ready.as_millis(),
        slowest.ready.as_millis(),
    );
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("startup.json"), report).unwrap();
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn measure(database_url: &str, redis_url: &str) -> Sample {
    let started = Instant::now();
    let process = Process::start(database_url, redis_url, &[]);
    let response = get_ready(process.address());
    let ready = started.elapsed();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    Sample {
        ready,
        resident_kib: process.status_kib("VmRSS:"),
    }
}

fn get_ready(address: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket
        .write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).unwrap();
    response
}
