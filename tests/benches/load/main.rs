//! Measures the release build of the server under load, next to hand-written SQL that does the same work
//! on the same PostgreSQL in the same run. Prints a table and writes it to `target/bench` as JSON and as a
//! chart. Linux only: `cargo bench -p sovd-tests --bench load -- --help` lists the options.

mod arguments;
mod binaries;
mod candidate;
mod chart;
mod comparison;
mod databases;
mod history;
mod http;
mod load;
mod logins;
mod memory;
mod operation;
mod report;
mod rounds;
mod samples;
mod server;
mod statements;
mod targets;
mod user;
mod yardstick;

use std::time::Duration;

use arguments::{Arguments, Part};
use binaries::Binaries;
use clap::Parser;
use samples::Samples;
use sovd_devstack::Postgres;
use tokio::{runtime, task::LocalSet};

/// What every part of the benchmark needs.
struct Context<'a> {
    arguments: &'a Arguments,
    binaries: &'a [Binaries],
    postgres: &'a Postgres,
}

impl Context<'_> {
    fn includes(&self, part: Part) -> bool {
        self.arguments.includes(part)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.arguments.seconds)
    }
}

fn main() {
    let arguments = Arguments::parse();
    let binaries = Binaries::of(&arguments);
    let postgres = databases::start_postgres(arguments.statements);
    let context = Context {
        arguments: &arguments,
        binaries: &binaries,
        postgres: &postgres,
    };
    // One thread, because the processors are shared with the servers.
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.unwrap(), run(&context));
}

async fn run(context: &Context<'_>) {
    if context.arguments.statements {
        for (server, binaries) in context.binaries.iter().enumerate() {
            statements::print(context.postgres, server, binaries).await;
        }
        return;
    }
    let mut samples = Samples::default();
    rounds::measure(context, &mut samples).await;
    logins::measure(context, &mut samples).await;
    history::measure(context, &mut samples).await;
    memory::measure(context, &mut samples).await;
    report::print(&samples, context.arguments);
    comparison::print(&samples, context.arguments);
    targets::print(&samples, context.binaries.len());
    report::write(&samples, context.arguments);
    chart::write(&samples, context.arguments);
}
