use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    Submit,
    SubmitOffline,
    Lifecycle,
    Vehicles,
    Login,
    /// The list of commands, with 1,000 and with 1,000,000 of them.
    Commands,
    /// Memory for an idle WebSocket, and over a minute of lifecycles.
    Memory,
}

/// Measures the server under load, next to hand-written SQL on the same PostgreSQL.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// The duration of each measurement in seconds.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// What to measure; everything by default.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<Part>,
    /// The numbers of concurrent users.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    pub(crate) users: Vec<usize>,
    /// How often everything is measured: once by default, or five times with two servers.
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// A server binary to measure instead of the one of this source tree. With two, rounds alternate.
    #[arg(long)]
    pub(crate) server: Vec<PathBuf>,
    /// The migration binary of each server, in the same order; by default the one beside the server.
    #[arg(long)]
    pub(crate) migrate: Vec<PathBuf>,
    /// Do not measure hand-written SQL.
    #[arg(long)]
    pub(crate) no_yardstick: bool,
    /// Count the statements and transactions of one lifecycle instead of measuring rates.
    #[arg(long)]
    pub(crate) statements: bool,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    pub(crate) fn rounds(&self) -> usize {
        let rounds = if self.server.len() > 1 { 5 } else { 1 };
        self.rounds.unwrap_or(rounds).max(1)
    }

    pub(crate) fn includes(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}
