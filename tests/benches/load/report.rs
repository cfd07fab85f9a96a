use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    arguments::Arguments,
    load::Outcome,
    operation::Operation,
    samples::{Samples, Subject},
    yardstick::CLIENTS,
};

/// Prints the medians of all rounds as a table.
pub(crate) fn print(samples: &Samples, arguments: &Arguments) {
    println!(
        "\n{:<28} {:>9} {:>7} {:>7} {:>9} {:>9} {:>6} {:>5} {:>7} {:>6}",
        "", "rate/s", "ratio", "target", "p50 ms", "p99 ms", "failed", "lost", "CPU ms", "MiB"
    );
    for operation in Operation::ALL {
        for clients in CLIENTS {
            let name = format!("{}, yardstick, {clients}", operation.name());
            row(samples, &name, Subject::Yardstick, operation, clients);
        }
        for users in &arguments.users {
            for server in 0..arguments.server.len().max(1) {
                let label = match arguments.server.len() {
                    0 | 1 => String::new(),
                    _ => format!(" {}", label(server)),
                };
                let name = format!("{}{label}, {users}", operation.name());
                row(samples, &name, Subject::Server(server), operation, *users);
            }
        }
    }
}

fn row(samples: &Samples, name: &str, subject: Subject, operation: Operation, users: usize) {
    let median = |value: fn(&Outcome) -> f64| samples.median(subject, operation, users, value);
    let Some(rate) = median(|outcome| outcome.rate) else {
        return;
    };
    let (ratio, target) = match subject {
        Subject::Yardstick => (String::new(), String::new()),
        Subject::Server(server) => (
            samples
                .ratio(server, operation, users)
                .map_or_else(String::new, decimals),
            operation
                .target()
                .filter(|_| users > 1)
                .map_or_else(String::new, decimals),
        ),
    };
    let number = |value: Option<f64>| value.filter(|value| value.is_finite());
    let text = |value: Option<f64>| number(value).map_or_else(String::new, decimals);
    println!(
        "{name:<28} {:>9} {ratio:>7} {target:>7} {:>9} {:>9} {:>6} {:>5} {:>7} {:>6}",
        rate_text(rate),
        text(median(|outcome| outcome.p50_ms)),
        text(median(|outcome| outcome.p99_ms)),
        samples.sum(subject, operation, users, |outcome| outcome.failures),
        samples.sum(subject, operation, users, |outcome| outcome.lost),
        text(median(|outcome| outcome.cpu_ms)),
        text(median(|outcome| outcome.resident_mib)),
    );
}

/// Writes every measurement as JSON.
pub(crate) fn write(samples: &Samples, arguments: &Arguments) {
    let measured: Vec<Value> = samples
        .measured
        .iter()
        .map(|sample| {
            let outcome = &sample.outcome;
            json!({
                "round": sample.round,
                "subject": match sample.subject {
                    Subject::Server(server) => label(server),
                    Subject::Yardstick => "yardstick",
                },
                "operation": sample.operation.name(),
                "users": sample.users,
                "rate": outcome.rate,
                "p50_ms": outcome.p50_ms,
                "p99_ms": outcome.p99_ms,
                "failures": outcome.failures,
                "lost": outcome.lost,
                "cpu_ms": outcome.cpu_ms,
                "resident_mib": outcome.resident_mib,
            })
        })
        .collect();
    let report = json!({
        "cores": std::thread::available_parallelism().unwrap(),
        "seconds": arguments.seconds,
        "samples": measured,
        "memory": samples.memory.iter().map(|memory| json!({
            "subject": label(memory.server),
            "socket_kib": memory.socket_kib,
            "peak_mib": memory.peak_mib,
            "growth_mib": memory.growth_mib,
        })).collect::<Vec<_>>(),
    });
    fs::write(directory().join("load.json"), format!("{report:#}\n")).unwrap();
}

/// Returns the directory of the results, which it creates.
pub(crate) fn directory() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Returns the name of a server in the report.
pub(crate) fn label(server: usize) -> &'static str {
    ["A", "B", "C", "D"].get(server).copied().unwrap_or("?")
}

fn decimals(value: f64) -> String {
    format!("{value:.2}")
}

/// Logins are so slow that their rates need a decimal.
fn rate_text(rate: f64) -> String {
    let precision = usize::from(rate < 100.0);
    format!("{rate:.precision$}")
}
