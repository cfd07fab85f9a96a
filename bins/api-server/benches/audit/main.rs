//! What the chain of the audit trail costs, and what its export takes: commands per second that are
//! submitted and carried out, with the chain and without, in alternating rounds of one run; then the
//! memory of the server while it exports 1,000,000 lines in both formats. Prints a table, and writes it
//! as JSON under `target/bench`. Linux only. Meant for a release build:
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
/// Requests under way at a time.
const SUBMITTING: usize = 32;
const LINES: usize = 1_000_000;
/// What a process does by itself.
const SEAL_MS: &str = "1000";

/// bcrypt at cost 4 of the seeded passwords, and vehicles enough for the dispatcher.
const PREPARE: &str = "
    UPDATE users SET password_hash = '$2b$04$KO8HgMxXotcuHip4uQbJS.s.YO/xUbfj2C0xrV2NR3qRLHvx8rgtu'
    WHERE username = 'engineer';
    UPDATE users SET password_hash = '$2b$04$DZIGyIO2IatThzmNuDb/CuzkIJeQK9sttl3PZ3LomBkRcp9IAgUAy'
    WHERE username = 'admin';
    INSERT INTO vehicles (vin, make, model, year, connection_status)
    SELECT 'AUDITTEST' || lpad(n::text, 8, '0'), 'Tesla', 'Model 3', 2023, 'connected'
    FROM generate_series(1, 200) n";

/// Takes everything away that the chain adds to a line but its columns and their indexes.
const WITHOUT_CHAIN: &str = "ALTER TABLE audit_logs DISABLE TRIGGER USER";

/// As many lines as the export is to have, as they look after a command.
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
    /// Lines that the sealer had not come to when the last command had ended.
    unsealed: i64,
}

struct Export {
    format: &'static str,
    lines: usize,
    bytes: usize,
    time: Duration,
    /// How much larger the server was at its largest than before, in bytes.
    growth: u64,
}

async fn measure_commands(stack: &Stack) -> Vec<Round> {
    // One for the files of the database to be warm.
    carry_out(stack, true).await;
    let mut rounds = Vec::new();
    for number in 0..ROUNDS {
        // Neither of the two is always the first.
        let (without, with) = if number % 2 == 0 {
            let without = carry_out(stack, false).await;
            (without, carry_out(stack, true).await)
        } else {
            let with = carry_out(stack, true).await;
            (carry_out(stack, false).await, with)
        };
        rounds.push(Round {
            without_chain: without.0,
            with_chain: with.0,
            unsealed: with.1,
        });
    }
    rounds
}

/// Lets a server carry commands out, each of which writes its audit lines; gives the time from the
/// first submission to the last end, and how many lines were not sealed then.
async fn carry_out(stack: &Stack, with_chain: bool) -> (Duration, i64) {
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

    let begun = Instant::now();
    stream::iter(vehicles.iter().cycle().take(COMMANDS))
        .for_each_concurrent(SUBMITTING, |vehicle_id| server.submit(&token, vehicle_id))
        .await;
    let ended = "SELECT count(*) FROM commands WHERE status = 'completed'";
    while count(&sql, ended).await < i64::try_from(COMMANDS).unwrap() {
        sleep(Duration::from_millis(10)).await;
    }
    let time = begun.elapsed();
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
    // One of a few lines for what is made once.
    server
        .export(&token, "format=csv&entity_type=session")
        .await;
    let mut exports = Vec::new();
    for format in ["csv", "ndjson"] {
        server.forget_peak();
        let before = server.resident();
        let begun = Instant::now();
        let query = format!("format={format}&entity_type=command");
        let (lines, bytes) = server.export(&token, &query).await;
        let time = begun.elapsed();
        let header = usize::from(format == "csv");
        assert_eq!(lines, LINES + header, "lines are missing");
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
