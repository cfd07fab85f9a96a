use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sovd_devstack::Postgres;
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::{
    binaries::Binaries,
    databases::{self, Role, connect},
    load::{Outcome, percentiles},
    operation::Operation,
};

const SUBMIT: &str = include_str!("yardstick/submit.sql");
const EXECUTE: &str = include_str!("yardstick/execute.sql");
const VEHICLES: &str = include_str!("yardstick/vehicles.sql");

/// Clients of PostgreSQL: one, and as many as suit two cores best.
pub(crate) const CLIENTS: [usize; 2] = [1, 16];

/// The tables that the scripts use, referenced ones first.
const TABLES: [&str; 6] = [
    "users",
    "vehicles",
    "commands",
    "command_queue",
    "responses",
    "audit_logs",
];

/// Hand-written SQL in `pgbench`, which does what a command needs and nothing else, on copies of the
/// tables without triggers.
pub(crate) struct Yardstick {
    pgbench: PathBuf,
    url: String,
    directory: TempDir,
}

impl Yardstick {
    pub(crate) async fn create(postgres: &Postgres, binaries: &Binaries) -> Self {
        let url = databases::create(postgres, "yardstick", binaries, Role::Engineer).await;
        let client = connect(&url).await;
        copy_tables(&client).await;
        let bin = "SELECT setting FROM pg_config WHERE name = 'BINDIR'";
        let bin: String = client.query_one(bin, &[]).await.unwrap().get(0);
        let pgbench = Path::new(&bin).join("pgbench");
        assert!(pgbench.exists(), "{} does not exist", pgbench.display());
        Self {
            pgbench,
            url,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs the script that corresponds to an operation.
    pub(crate) fn run(&self, operation: Operation, clients: usize, duration: Duration) -> Outcome {
        let script = match operation {
            Operation::Submit | Operation::SubmitOffline => SUBMIT.to_owned(),
            Operation::Lifecycle => format!("{SUBMIT}{EXECUTE}"),
            Operation::Vehicles => VEHICLES.to_owned(),
            Operation::Login | Operation::Commands | Operation::ManyCommands => {
                unreachable!("has no counterpart in SQL")
            }
        };
        let path = self.directory.path().join("script.sql");
        fs::write(&path, script).unwrap();
        let log = tempfile::tempdir_in(self.directory.path()).unwrap();
        let output = Command::new(&self.pgbench)
            .args(["--no-vacuum", "--protocol=prepared", "--log"])
            .arg(format!("--log-prefix={}", log.path().join("log").display()))
            .arg(format!("--file={}", path.display()))
            .arg(format!("--client={clients}"))
            .arg(format!("--jobs={}", clients.min(2)))
            .arg(format!("--time={}", duration.as_secs()))
            .arg(&self.url)
            .env("PGOPTIONS", "-c search_path=yardstick")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pgbench failed: {errors}");
        let (p50_ms, p99_ms) = percentiles(latencies(log.path()));
        let rate = number_after(&text, "tps = ").unwrap();
        Outcome::of_yardstick(rate, p50_ms, p99_ms)
    }
}

/// Copies the tables with their columns, indexes, constraints and foreign keys, and the users and vehicles.
async fn copy_tables(client: &Client) {
    client
        .batch_execute("CREATE SCHEMA yardstick")
        .await
        .unwrap();
    for table in TABLES {
        let copy = format!("CREATE TABLE yardstick.{table} (LIKE {table} INCLUDING ALL)");
        client.batch_execute(&copy).await.unwrap();
    }
    for table in ["users", "vehicles"] {
        let fill = format!("INSERT INTO yardstick.{table} SELECT * FROM {table}");
        client.batch_execute(&fill).await.unwrap();
    }
    let foreign_keys = "
        SELECT format('ALTER TABLE yardstick.%I ADD %s', relname, pg_get_constraintdef(pg_constraint.oid))
        FROM pg_constraint
        JOIN pg_class ON pg_class.oid = conrelid
        WHERE contype = 'f' AND relnamespace = 'public'::regnamespace
          AND relname = ANY ($1) AND confrelid = ANY ($1::regclass[])";
    let tables = TABLES.as_slice();
    let foreign_keys = foreign_keys.replace("$1::regclass[]", "$1::text[]::regclass[]");
    let rows = client.query(&foreign_keys, &[&tables]).await.unwrap();
    // Their references have no schema, and mean the copies.
    let statements: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let batch = format!(
        "SET search_path = yardstick; {}; RESET search_path; ANALYZE",
        statements.join(";")
    );
    client.batch_execute(&batch).await.unwrap();
}

/// Returns the latencies of the log files: the third field of each line, in microseconds.
fn latencies(directory: &Path) -> Vec<Duration> {
    let files = fs::read_dir(directory).unwrap();
    let logs = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let logs: String = logs.collect();
    let latencies = logs.lines().map(|line| {
        let micros = line.split(' ').nth(2).unwrap().parse().unwrap();
        Duration::from_micros(micros)
    });
    latencies.collect()
}

fn number_after(text: &str, marker: &str) -> Option<f64> {
    let (_, rest) = text.split_once(marker)?;
    rest.split_whitespace().next()?.parse().ok()
}
