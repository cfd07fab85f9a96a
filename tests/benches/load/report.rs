use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    arguments::Arguments,
    operation::Operation,
    samples::{Samples, Subject, median},
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
            let name = format!("{}, SQL, {clients}", operation.name());
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
    if arguments.server.len() == 2 {
        print_comparison(samples, arguments);
    }
}

fn row(samples: &Samples, name: &str, subject: Subject, operation: Operation, users: usize) {
    let median =
        |value: fn(&crate::load::Outcome) -> f64| samples.median(subject, operation, users, value);
    let Some(rate) = median(|outcome| outcome.rate) else {
        return;
    };
    let (ratio, target) = match subject {
        Subject::Yardstick => (String::new(), String::new()),
        Subject::Server(_) => (
            ratio(samples, subject, operation, users).map_or_else(String::new, decimals),
            operation
                .target()
                .filter(|_| users > 1)
                .map_or_else(String::new, decimals),
        ),
    };
    let number = |value: Option<f64>| value.filter(|value| value.is_finite());
    let text = |value: Option<f64>| number(value).map_or_else(String::new, decimals);
    println!(
        "{name:<28} {rate:>9.0} {ratio:>7} {target:>7} {:>9} {:>9} {:>6} {:>5} {:>7} {:>6.0}",
        text(median(|outcome| outcome.p50_ms)),
        text(median(|outcome| outcome.p99_ms)),
        samples.sum(subject, operation, users, |outcome| outcome.failures),
        samples.sum(subject, operation, users, |outcome| outcome.lost),
        text(median(|outcome| outcome.cpu_ms)),
        f64::from(peak_kib(samples, subject, operation, users)) / 1024.0,
    );
}

fn peak_kib(samples: &Samples, subject: Subject, operation: Operation, users: usize) -> u32 {
    let kib = |outcome: &crate::load::Outcome| usize::try_from(outcome.resident_kib).unwrap();
    let rounds = samples.sum(subject, operation, users, |_| 1);
    u32::try_from(samples.sum(subject, operation, users, kib) / rounds.max(1)).unwrap()
}

/// Returns the median rate relative to hand-written SQL: with one client for one user, otherwise with as
/// many clients as suit it best.
fn ratio(samples: &Samples, subject: Subject, operation: Operation, users: usize) -> Option<f64> {
    let [one, many] = CLIENTS;
    let base = (Subject::Yardstick, if users == 1 { one } else { many });
    median(samples.ratios((subject, users), base, operation, |outcome| outcome.rate))
}

fn print_comparison(samples: &Samples, arguments: &Arguments) {
    println!(
        "\n{:<28} {:>9} {:>9} {:>9}",
        "B relative to A", "median", "least", "most"
    );
    let compared = Operation::ALL.into_iter().flat_map(|operation| {
        let users = arguments.users.iter();
        users.map(move |users| (operation, *users))
    });
    for (operation, users) in compared {
        let (a, b) = ((Subject::Server(0), users), (Subject::Server(1), users));
        let rates = samples.ratios(b, a, operation, |outcome| outcome.rate);
        compare(&format!("{} rate, {users}", operation.name()), &rates);
        let medians = samples.ratios(b, a, operation, |outcome| outcome.p50_ms);
        compare(&format!("{} p50, {users}", operation.name()), &medians);
        let cpu = samples.ratios(b, a, operation, |outcome| outcome.cpu_ms);
        compare(&format!("{} CPU, {users}", operation.name()), &cpu);
    }
}

fn compare(name: &str, ratios: &[f64]) {
    let Some(median) = median(ratios.iter().copied()) else {
        return;
    };
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    println!("{name:<28} {median:>9.2} {least:>9.2} {most:>9.2}");
}

/// Writes every measurement as JSON.
pub(crate) fn write(samples: &Samples, arguments: &Arguments) {
    let measured: Vec<Value> = samples
        .0
        .iter()
        .map(|sample| {
            let outcome = &sample.outcome;
            json!({
                "round": sample.round,
                "subject": match sample.subject {
                    Subject::Server(server) => label(server),
                    Subject::Yardstick => "sql",
                },
                "operation": sample.operation.name(),
                "users": sample.users,
                "rate": outcome.rate,
                "p50_ms": outcome.p50_ms,
                "p99_ms": outcome.p99_ms,
                "failures": outcome.failures,
                "lost": outcome.lost,
                "cpu_ms": outcome.cpu_ms,
                "resident_kib": outcome.resident_kib,
            })
        })
        .collect();
    let report = json!({
        "cores": std::thread::available_parallelism().unwrap(),
        "seconds": arguments.seconds,
        "samples": measured,
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
