use std::{fs, path::Path, thread::available_parallelism, time::Duration};

use serde_json::json;

use crate::{FANOUT_SOCKETS, Idle, Round, socket::Delivery};

pub(crate) fn report(idle: &Idle, rounds: &[Round]) {
    let rate =
        |of: fn(&Round) -> Delivery| median(rounds.iter().map(|round| of(round).per_second()));
    let (single, many) = (rate(|round| round.single), rate(|round| round.many));
    let (pipelined, stepwise) = (rate(|round| round.pipelined), rate(|round| round.stepwise));
    let of_pipelined =
        median((rounds.iter()).map(|round| round.many.per_second() / round.pipelined.per_second()));
    let of_stepwise =
        median((rounds.iter()).map(|round| round.many.per_second() / round.stepwise.per_second()));
    let kib = f64::from(u32::try_from(idle.bytes_per_socket).unwrap()) / 1024.0;
    let cores = available_parallelism().unwrap();
    let last = rounds.last().unwrap().many;
    let size = last.bytes / last.messages;

    println!("{cores} cores for the server, PostgreSQL, Redis and the clients together");
    row("", "target", "measured");
    row(
        "idle sockets on one process",
        "10000",
        &idle.sockets.to_string(),
    );
    row(
        "sockets opened per second",
        "",
        &format!("{:.0}", as_float(idle.sockets) / idle.opening.as_secs_f64()),
    );
    row("memory for each", "< 20 KiB", &format!("{kib:.1} KiB"));
    row("CPU, all idle", "near 0 %", &format!("{:.2} %", idle.cpu));
    row(
        "CPU, no connections",
        "",
        &format!("{:.2} %", idle.quiet_cpu),
    );
    row("events to 1 socket", "", &per_second(single));
    row("events to 1000 sockets", "", &per_second(many));
    row("Redis alone, pipelined", "", &per_second(pipelined));
    row("Redis alone, stepwise", "", &per_second(stepwise));
    row(
        "ratio to Redis, pipelined",
        "",
        &format!("{:.0} %", 100.0 * of_pipelined),
    );
    row(
        "ratio to Redis, stepwise",
        "",
        &format!("{:.0} %", 100.0 * of_stepwise),
    );

    let report = json!({
        "cores": cores,
        "idle_sockets": idle.sockets,
        "opening_ms": millis(idle.opening),
        "bytes_per_idle_socket": idle.bytes_per_socket,
        "idle_cpu_percent": idle.cpu,
        "quiet_cpu_percent": idle.quiet_cpu,
        "fanout_sockets": FANOUT_SOCKETS,
        "event_bytes": size,
        "rounds": rounds.iter().map(|round| json!({
            "single_ms": millis(round.single.time),
            "many_ms": millis(round.many.time),
            "events": round.many.messages / FANOUT_SOCKETS,
            "redis_pipelined_ms": millis(round.pipelined.time),
            "redis_stepwise_ms": millis(round.stepwise.time),
        })).collect::<Vec<_>>(),
        "single_per_second": single,
        "many_per_second": many,
        "redis_pipelined_per_second": pipelined,
        "redis_stepwise_per_second": stepwise,
        "ratio_to_pipelined": of_pipelined,
        "ratio_to_stepwise": of_stepwise,
    });
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("streams.json"), format!("{report}\n")).unwrap();
}

pub(crate) fn row(what: &str, target: &str, measured: &str) {
    println!("{what:<32} {target:>10} {measured:>14}");
}

pub(crate) fn per_second(rate: f64) -> String {
    format!("{rate:.0} /s")
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

pub(crate) fn as_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    *values.get(values.len() / 2).unwrap()
}
