use std::{fs, path::Path, thread::available_parallelism, time::Duration};

use serde_json::json;

use crate::{COMMANDS, Export, Round};

pub(crate) fn report(rounds: &[Round], exports: &[Export]) {
    let rate = |time: Duration| as_float(COMMANDS) / time.as_secs_f64();
    let without = median(rounds.iter().map(|round| rate(round.without_chain)));
    let with = median(rounds.iter().map(|round| rate(round.with_chain)));
    let ratio = median(
        rounds
            .iter()
            .map(|round| rate(round.with_chain) / rate(round.without_chain)),
    );
    let cost = 100.0 * (1.0 - ratio);
    let cores = available_parallelism().unwrap();

    println!("{cores} cores for the server, PostgreSQL, Redis and the client together");
    row("", "target", "measured");
    row(
        "commands without the chain",
        "",
        &format!("{without:.0} /s"),
    );
    row("commands with the chain", "", &format!("{with:.0} /s"));
    row(
        "cost, median of the rounds",
        "<= 15 %",
        &format!("{cost:.1} %"),
    );
    for export in exports {
        let name = format!("{} lines as {}", export.lines, export.format);
        let per_second = as_float(export.lines) / export.time.as_secs_f64();
        row(&name, "", &format!("{per_second:.0} /s"));
        let growth = format!("{:.1} MiB", mib(export.growth));
        row("  memory grew by", "< 32 MiB", &growth);
    }

    let report = json!({
        "cores": cores,
        "commands": COMMANDS,
        "rounds": rounds.iter().map(|round| json!({
            "without_chain_ms": millis(round.without_chain),
            "with_chain_ms": millis(round.with_chain),
            "unsealed_at_the_end": round.unsealed,
        })).collect::<Vec<_>>(),
        "without_chain_per_second": without,
        "with_chain_per_second": with,
        "cost_percent": cost,
        "exports": exports.iter().map(|export| json!({
            "format": export.format,
            "lines": export.lines,
            "bytes": export.bytes,
            "ms": millis(export.time),
            "growth_bytes": export.growth,
        })).collect::<Vec<_>>(),
    });
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("audit.json"), format!("{report}\n")).unwrap();
}

fn row(what: &str, target: &str, measured: &str) {
    println!("{what:<32} {target:>10} {measured:>14}");
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

fn mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap()) / 1024.0
}

fn as_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    *values.get(values.len() / 2).unwrap()
}
