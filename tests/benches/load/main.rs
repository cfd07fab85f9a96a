//! Measures the release build of the server under load, next to hand-written SQL that does the same work
//! on the same PostgreSQL in the same run. Prints a table and writes it to `target/bench`. Linux only:
//! `cargo bench -p sovd-tests --bench load -- --help` lists the options.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod arguments;
mod binaries;
mod databases;
mod http;
mod load;
mod operation;
mod report;
mod samples;
mod server;
mod statements;
mod user;
mod yardstick;

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use arguments::Arguments;
use binaries::Binaries;
use clap::Parser;
use databases::{ACCOUNTS, Role, connect, count};
use operation::Operation;
use samples::{Sample, Samples, Subject};
use server::Server;
use sovd_devstack::Postgres;
use tokio::{runtime, task::LocalSet, time::sleep};
use tokio_postgres::Client;
use yardstick::Yardstick;

/// The time in which a server completes the commands of a measurement before the next one.
const DRAIN_TIMEOUT: Duration = Duration::from_mins(2);

fn main() {
    let arguments = Arguments::parse();
    let binaries = Binaries::of(&arguments);
    let postgres = databases::start_postgres(arguments.statements);
    // One thread, because the processors are shared with the servers.
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let measure = async {
        if arguments.statements {
            for (index, binaries) in binaries.iter().enumerate() {
                statements::print(&postgres, &format!("statements{index}"), binaries).await;
            }
        } else {
            let samples = measure(&arguments, &binaries, &postgres).await;
            report::print(&samples, &arguments);
            report::write(&samples, &arguments);
        }
    };
    LocalSet::new().block_on(&runtime.unwrap(), measure);
}

/// A server under test.
struct Candidate {
    server: Server,
    tokens: Vec<Rc<str>>,
    sql: Client,
}

impl Candidate {
    async fn start(postgres: &Postgres, name: &str, binaries: &Binaries, role: Role) -> Self {
        let url = databases::create(postgres, name, binaries, role).await;
        let server = Server::start(binaries, &url);
        let mut tokens = Vec::new();
        for account in 0..ACCOUNTS {
            tokens.push(user::log_in(server.address, &format!("load{account}")).await);
        }
        let sql = connect(&url).await;
        Self {
            server,
            tokens,
            sql,
        }
    }

    /// Waits until all commands for connected vehicles have ended, and removes the others.
    async fn drain(&self) {
        let offline = "
            WITH gone AS (
                DELETE FROM command_queue USING vehicles
                WHERE vehicles.vehicle_id = command_queue.vehicle_id
                  AND connection_status = 'disconnected'
                RETURNING command_id)
            UPDATE commands SET status = 'failed', failure_kind = 'cancelled', completed_at = now()
            WHERE command_id IN (SELECT command_id FROM gone)";
        self.sql.execute(offline, &[]).await.unwrap();
        let started = Instant::now();
        while count(&self.sql, "SELECT count(*) FROM command_queue").await > 0 {
            assert!(started.elapsed() < DRAIN_TIMEOUT, "commands do not end");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn measure(arguments: &Arguments, binaries: &[Binaries], postgres: &Postgres) -> Samples {
    let duration = Duration::from_secs(arguments.seconds);
    let mut candidates = Vec::new();
    for (index, binaries) in binaries.iter().enumerate() {
        let name = format!("load{index}");
        candidates.push(Candidate::start(postgres, &name, binaries, Role::Engineer).await);
    }
    let yardstick = match binaries.last() {
        Some(binaries) if !arguments.no_yardstick => {
            Some(Yardstick::create(postgres, binaries).await)
        }
        _ => None,
    };
    let mut samples = Samples::default();
    for round in 0..arguments.rounds() {
        for operation in Operation::ALL {
            if !arguments.includes(operation) {
                continue;
            }
            for users in &arguments.users {
                let mut order: Vec<_> = candidates.iter().enumerate().collect();
                if round % 2 == 1 {
                    order.reverse();
                }
                for (index, candidate) in order {
                    let (server, tokens) = (&candidate.server, &candidate.tokens);
                    let outcome = load::run(server, tokens, operation, *users, duration).await;
                    candidate.drain().await;
                    let sample = Sample {
                        round,
                        subject: Subject::Server(index),
                        operation,
                        users: *users,
                        outcome,
                    };
                    progress(&sample);
                    samples.0.push(sample);
                }
            }
            for (yardstick, clients) in yardstick.iter().flat_map(|yardstick| {
                let clients = yardstick::CLIENTS.into_iter();
                clients.map(move |clients| (yardstick, clients))
            }) {
                let sample = Sample {
                    round,
                    subject: Subject::Yardstick,
                    operation,
                    users: clients,
                    outcome: yardstick.run(operation, clients, duration),
                };
                progress(&sample);
                samples.0.push(sample);
            }
        }
    }
    samples
}

fn progress(sample: &Sample) {
    let Sample {
        round,
        subject,
        operation,
        users,
        outcome,
    } = sample;
    let subject = match subject {
        Subject::Server(server) => report::label(*server),
        Subject::Yardstick => "SQL",
    };
    println!(
        "round {round}: {}, {subject}, {users}: {:.0}/s, {:.1} ms, {} failed",
        operation.name(),
        outcome.rate,
        outcome.p50_ms,
        outcome.failures
    );
}
