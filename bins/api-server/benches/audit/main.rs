//! Measures the cost of the audit trail's hash chain and of exports: the rate of commands with and without
//! the chain, in alternating rounds, and the memory of the server while it exports 1,000,000 entries in both
//! formats. Prints a table and writes it as JSON to `target/bench`. Linux only. Requires a release build:
//! `cargo bench -p sovd-api-server --bench audit`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark ends when it cannot measure, and prints what it measured"
)]

#[path = "../process/mod.rs"]
mod process;
mod report;
mod server;

use std::{
    error::Error,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use report::report;
use server::Server;
use sovd_app::{Settings, migrate::Migrator};
use sovd_devstack::{Stack, TestDatabase};
use tokio::time::sleep;

const ROUNDS: usize = 9;
const COMMANDS: usize = 3_000;
const VEHICLES: usize = 200;
/// Concurrent submissions.
const SUBMISSIONS: usize = 32;
const ENTRIES: usize = 1_000_000;
/// The default interval of sealing.
const SEAL_MS: &str = "1000";

/// Hashes the seeded passwords with bcrypt at cost 4, and adds enough vehicles for the dispatcher.
const PREPARE: &str = "
    UPDATE users SET password_hash = '$2b$04$KO8HgMxXotcuHip4uQbJS.s.YO/xUbfj2C0xrV2NR3qRLHvx8rgtu'
    WHERE username = 'engineer';
    UPDATE users SET password_hash = '$2b$04$DZIGyIO2IatThzmNuDb/CuzkIJeQK9sttl3PZ3LomBkRcp9IAgUAy'
    WHERE username = 'admin';
    INSERT INTO vehicles (vin, make, model, year, connection_status)
    SELECT 'AUDITTEST' || lpad(n::text, 8, '0'), 'Tesla', 'Model 3', 2023, 'connected'
    FROM generate_series(1, 200) n";

/// Removes what the chain adds to an entry, except its columns and their indexes.
const WITHOUT_CHAIN: &str = "ALTER TABLE audit_logs DISABLE TRIGGER USER";

/// Adds the entries to export, which resemble those of a command.
const FILL: &str = "
    INSERT INTO audit_logs
        (user_id, vehicle_id, action, entity_type, entity_id, details, ip_address, user_agent,
         timestamp, request_id)
    SELECT '00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000101',
           'command.submit', 'command', gen_random_uuid(),
           jsonb_build_object('command_name', 'ReadDTC', 'risk', 'read', 'command_params',
                              jsonb_build_object('ecuAddress', '0x10')),
           '127.0.0.1', 'curl/8.0', now() - interval '1 ms' * n, gen_random_uuid()::text
    FROM generate_series(1, 1000000) n";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stack = Stack::shared().unwrap();
    let rounds = runtime.block_on(measure_commands(stack));
    let exports = runtime.block_on(measure_exports(stack));
    report(&rounds, &exports);
}

/// One round without the chain and one with it.
struct Round {
    without_chain: Duration,
    with_chain: Duration,
    /// Entries that were not sealed when the last command ended.
    unsealed: i64,
}

struct Export {
    format: &'static str,
    lines: usize,
    bytes: usize,
    time: Duration,
    /// The growth of the server's memory at its peak, in bytes.
    growth: u64,
}

async fn measure_commands(stack: &Stack) -> Vec<Round> {
    // Warms up the files of the database.
    run_commands(stack, true).await;
    let mut rounds = Vec::new();
    for number in 0..ROUNDS {
        // Alternates which one is first.
        let (without, with) = if number % 2 == 0 {
            let without = run_commands(stack, false).await;
            (without, run_commands(stack, true).await)
        } else {
            let with = run_commands(stack, true).await;
            (run_commands(stack, false).await, with)
        };
        rounds.push(Round {
            without_chain: without.0,
            with_chain: with.0,
            unsealed: with.1,
        });
    }
    rounds
}

/// Executes commands and returns the time from the first submission to the end of the last one, and the
/// number of unsealed entries at that time.
async fn run_commands(stack: &Stack, with_chain: bool) -> (Duration, i64) {
    let database = database(stack).await;
    let sql = database.client().await.unwrap();
    if !with_chain {
        sql.batch_execute(WITHOUT_CHAIN).await.unwrap();
    }
    let vehicles = "SELECT vehicle_id::text FROM vehicles WHERE vin LIKE 'AUDITTEST%'";
    let vehicles = sql.query(vehicles, &[]).await.unwrap();
    let vehicles: Vec<String> = vehicles.iter().map(|row| row.get(0)).collect();
    assert_eq!(vehicles.len(), VEHICLES);
    let seal_ms = if with_chain { SEAL_MS } else { "0" };
    let server = Server::start(&database, stack.redis_url(), seal_ms);
    let token = server.log_in("engineer").await;

    let started = Instant::now();
    stream::iter(vehicles.iter().cycle().take(COMMANDS))
        .for_each_concurrent(SUBMISSIONS, |vehicle_id| server.submit(&token, vehicle_id))
        .await;
    let ended = "SELECT count(*) FROM commands WHERE status = 'completed'";
    while count(&sql, ended).await < i64::try_from(COMMANDS).unwrap() {
        sleep(Duration::from_millis(10)).await;
    }
    let time = started.elapsed();
    let unsealed = "SELECT count(*) FROM audit_logs WHERE position IS NULL";
    (time, count(&sql, unsealed).await)
}

async fn measure_exports(stack: &Stack) -> Vec<Export> {
    let database = database(stack).await;
    let sql = database.client().await.unwrap();
    sql.batch_execute(FILL).await.unwrap();
    sql.batch_execute("VACUUM ANALYZE audit_logs")
        .await
        .unwrap();
    let server = Server::start(&database, stack.redis_url(), "0");
    let token = server.log_in("admin").await;
    // A small export, which allocates what is allocated once.
    server
        .export(&token, "format=csv&entity_type=session")
        .await;
    let mut exports = Vec::new();
    for format in ["csv", "ndjson"] {
        server.reset_peak();
        let before = server.resident();
        let started = Instant::now();
        let query = format!("format={format}&entity_type=command");
        let (lines, bytes) = server.export(&token, &query).await;
        let time = started.elapsed();
        let header = usize::from(format == "csv");
        assert_eq!(lines, ENTRIES + header, "entries are missing");
        exports.push(Export {
            format,
            lines,
            bytes,
            time,
            growth: server.peak().saturating_sub(before),
        });
    }
    exports
}

async fn database(stack: &Stack) -> TestDatabase {
    let database = stack.test_database("seeded for audit", prepare).await;
    database.unwrap()
}

async fn prepare(url: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let migrator = Migrator::new(&Settings::for_tests(url, None));
    migrator.wait(Duration::from_secs(10)).await?;
    migrator.up().await?;
    migrator.seed(false).await?;
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let driver = tokio::spawn(connection);
    client.batch_execute(PREPARE).await?;
    drop(client);
    driver.await??;
    Ok(())
}

async fn count(sql: &tokio_postgres::Client, query: &str) -> i64 {
    sql.query_one(query, &[]).await.unwrap().get(0)
}
