//! Measures the cost of followers for one server: memory and CPU time of 10,000 idle WebSockets, and the
//! delivery rate of a command's responses to 1,000 of them, compared with Redis and plain subscribers in the
//! same run. Prints a table and writes it as JSON to `target/bench`. Linux only. Requires a release build:
//! `cargo bench -p sovd-api-server --bench streams`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark ends when it cannot measure, and prints what it measured"
)]

mod bare_redis;
#[path = "../process/mod.rs"]
mod process;
mod report;
mod server;
mod socket;

use std::{
    error::Error,
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bare_redis::bare_redis;
use report::report;
use server::Server;
use socket::Delivery;
use sovd_app::{Settings, migrate::Migrator};
use sovd_devstack::{Stack, TestDatabase};
use tokio::time::sleep;

const IDLE_SOCKETS: usize = 10_000;
/// Files that a process needs in addition to its sockets.
const SPARE_FILES: usize = 500;
const WARM_UP_SOCKETS: usize = 200;
const FOLLOWED_COMMANDS: usize = 4;
/// The interval at which the server pings each socket.
const IDLE_TIME: Duration = Duration::from_secs(20);
const QUIET_TIME: Duration = Duration::from_secs(5);

const FANOUT_SOCKETS: usize = 1_000;
const CHUNKS: usize = 200;
const ROUNDS: usize = 3;

/// Concurrent connection attempts.
const OPENING: usize = 64;
const TIMEOUT: Duration = Duration::from_mins(1);
/// Linux reports CPU time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

const OFFLINE_VEHICLE: &str = "00000000-0000-0000-0000-000000000102";

/// Hashes the seeded password with bcrypt at cost 4.
const CHEAP_ENGINEER: &str = "
    UPDATE users SET password_hash = '$2b$04$KO8HgMxXotcuHip4uQbJS.s.YO/xUbfj2C0xrV2NR3qRLHvx8rgtu'
    WHERE username = 'engineer'";

const ADD_VEHICLE: &str = "
    INSERT INTO vehicles (vin, make, model, year, connection_status)
    SELECT 'FANOUTTST' || lpad(count(*)::text, 8, '0'), 'Tesla', 'Model 3', 2023, 'disconnected'
    FROM vehicles
    RETURNING vehicle_id::text";

const CONNECT_VEHICLE: &str =
    "UPDATE vehicles SET connection_status = 'connected' WHERE vehicle_id::text = $1";

fn main() {
    raise_file_limit();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stack = Stack::shared().unwrap();
    let database = runtime
        .block_on(stack.test_database("seeded", prepare))
        .unwrap();
    let idle = runtime.block_on(measure_idle(&database, stack.redis_url()));
    let fanout = runtime.block_on(measure_fanout(&database, stack.redis_url()));
    report(&idle, &fanout);
}

async fn prepare(url: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let migrator = Migrator::new(&Settings::for_tests(url, None));
    migrator.wait(Duration::from_secs(10)).await?;
    migrator.up().await?;
    migrator.seed(false).await?;
    Ok(())
}

/// Raises the limit on open files of this process and its children to the hard limit.
fn raise_file_limit() {
    let pid = std::process::id().to_string();
    let hard = file_limit(4);
    let raised = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={hard}:{hard}")])
        .status();
    if !raised.is_ok_and(|status| status.success()) {
        println!("the limit on open files stays at {}", file_limit(3));
    }
}

/// The soft limit is in column 3, the hard one in column 4.
fn file_limit(column: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let limit = files.split_whitespace().nth(column).unwrap();
    limit.parse().unwrap_or(usize::MAX)
}

struct Idle {
    sockets: usize,
    opening: Duration,
    bytes_per_socket: u64,
    /// In percent of one core, without connections.
    quiet_cpu: f64,
    cpu: f64,
}

async fn measure_idle(database: &TestDatabase, redis_url: &str) -> Idle {
    let sockets = IDLE_SOCKETS.min(file_limit(3).saturating_sub(SPARE_FILES));
    let server = Server::start(database, redis_url).await;
    let mut commands = Vec::new();
    for _ in 0..FOLLOWED_COMMANDS {
        commands.push(server.submit(OFFLINE_VEHICLE).await);
    }

    let warm_up = server.open(&commands, WARM_UP_SOCKETS).await;
    drop(warm_up);
    sleep(Duration::from_secs(2)).await;
    let empty = server.resident();
    let quiet_cpu = server.cpu(QUIET_TIME).await;

    let started = Instant::now();
    let opened = server.open(&commands, sockets).await;
    let opening = started.elapsed();
    let lost = Arc::new(AtomicUsize::new(0));
    for mut socket in opened {
        let lost = Arc::clone(&lost);
        tokio::spawn(async move {
            socket.follow().await;
            lost.fetch_add(1, Ordering::Relaxed);
        });
    }
    let cpu = server.cpu(IDLE_TIME).await;
    let full = server.resident();
    assert_eq!(lost.load(Ordering::Relaxed), 0, "sockets were closed");
    Idle {
        sockets,
        opening,
        bytes_per_socket: full.saturating_sub(empty) / u64::try_from(sockets).unwrap(),
        quiet_cpu,
        cpu,
    }
}

struct Round {
    /// From the server to one follower, which is limited by the server and the database.
    single: Delivery,
    many: Delivery,
    /// From Redis, with a publisher that does not wait for responses.
    pipelined: Delivery,
    /// From Redis, with a publisher that waits for each response, as the server does.
    stepwise: Delivery,
}

async fn measure_fanout(database: &TestDatabase, redis_url: &str) -> Vec<Round> {
    let server = Server::start(database, redis_url).await;
    let sql = database.client().await.unwrap();
    server.fan_out(&sql, 1).await;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let single = server.fan_out(&sql, 1).await;
        let many = server.fan_out(&sql, FANOUT_SOCKETS).await;
        let events = many.messages / FANOUT_SOCKETS;
        let size = many.bytes / many.messages;
        rounds.push(Round {
            single,
            many,
            pipelined: bare_redis(redis_url, events, size, events).await,
            stepwise: bare_redis(redis_url, events, size, 1).await,
        });
    }
    rounds
}
