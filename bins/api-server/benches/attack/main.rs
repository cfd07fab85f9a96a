//! Measures the latency for 64 busy users, first without and then with attacks from one ordinary account.
//! Their p95 may grow by a factor of 3, and the server may use 200 MiB. Prints a table and writes it as JSON
//! to `target/bench`. Requires a release build:
//! `ATTACK_SECONDS=600 cargo bench -p sovd-api-server --bench attack`.
//!
//! `ATTACK_ONLY` selects attacks, separated by commas; the default is all.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark ends when it cannot measure, and prints what it measured"
)]

mod attacks;
#[path = "../process/mod.rs"]
mod process;
mod report;
mod users;

use std::{env, time::Duration};

use attacks::Attacker;
use process::Process;
use report::{Phase, report};
use sovd_app::{Settings, migrate::Migrator};
use sovd_devstack::{Stack, TestDatabase};
use tokio_util::sync::CancellationToken;
use users::Users;

/// Busy users, each with their own account.
const USERS: usize = 64;

/// The maximum duration of the quiet phase, and the default duration of the attack, in seconds.
const SECONDS: u64 = 60;

/// Adds accounts, 1,000 connected vehicles, and 100,000 others that make a deep offset expensive.
const PREPARE: &str = "
    UPDATE users SET password_hash = '$2b$04$KO8HgMxXotcuHip4uQbJS.s.YO/xUbfj2C0xrV2NR3qRLHvx8rgtu'
    WHERE username = 'engineer';
    INSERT INTO users (username, email, password_hash, role)
    SELECT 'user' || n, 'user' || n || '@example.com', password_hash, role
    FROM users, generate_series(1, 64) n WHERE username = 'engineer';
    INSERT INTO vehicles (vin, make, model, year, connection_status)
    SELECT 'ATTACK' || lpad(n::text, 11, '0'), 'Tesla', 'Model 3', 2023,
           CASE WHEN n <= 1000 THEN 'connected' ELSE 'disconnected' END
    FROM generate_series(1, 101000) n;
    ANALYZE";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let seconds = env::var("ATTACK_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let attacked_span = Duration::from_secs(seconds);
    let quiet_span = attacked_span.min(Duration::from_secs(SECONDS));
    let only = env::var("ATTACK_ONLY").unwrap_or_default();
    let stack = Stack::shared().unwrap();
    let prepare = async |url: &str| {
        let migrator = Migrator::new(&Settings::for_tests(url, None));
        migrator.up().await?;
        migrator.seed(false).await
    };
    let database = stack.test_database("attack", prepare).await.unwrap();
    let sql = database.client().await.unwrap();
    sql.batch_execute(PREPARE).await.unwrap();
    let server = start(&database, stack.redis_url());
    let users = Users::log_in(&server, &sql).await;
    // Warms up connections, plans and caches.
    users.work(Duration::from_secs(10)).await;

    let quiet = Phase {
        name: "quiet".to_owned(),
        replies: users.work(quiet_span).await,
        span: quiet_span,
        resident_kib: server.status_kib("VmHWM:"),
    };
    let stop = CancellationToken::new();
    let attacker = Attacker::log_in(&server).await;
    let running = attacker.start(&only, &stop);
    let disturbed = Phase {
        name: "attacked".to_owned(),
        replies: users.work(attacked_span).await,
        span: attacked_span,
        resident_kib: server.status_kib("VmHWM:"),
    };
    stop.cancel();
    let tallies = running.await;
    report(&[quiet, disturbed], &tallies);
}

/// Starts a server with the default limits, which other benchmarks raise, and a mock without delay.
fn start(database: &TestDatabase, redis_url: &str) -> Process {
    Process::start(
        database.url(),
        redis_url,
        &[
            ("SOVD__SERVER__CONNECTIONS_PER_ADDRESS", "512"),
            ("SOVD__DISPATCH__WAITING_PER_VEHICLE", "100"),
            ("SOVD__DISPATCH__WAITING_PER_USER", "1000"),
            ("SOVD__LIMITS__REQUESTS_IN_FLIGHT", "16"),
            ("SOVD__LIMITS__LISTS_IN_FLIGHT", "2"),
            ("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", "0"),
            ("SOVD__CONNECTOR__MOCK__MAX_DELAY_MS", "0"),
        ],
    )
}
