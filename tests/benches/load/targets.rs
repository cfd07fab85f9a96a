use crate::{
    operation::Operation,
    report::label,
    samples::{Samples, Subject, median},
};

/// Prints what was measured of each target, and whether it is met.
pub(crate) fn print(samples: &Samples, servers: usize) {
    for server in 0..servers {
        println!(
            "\n{:<52} {:>10} {:>9}",
            format!("targets, server {}", label(server)),
            "measured",
            "target"
        );
        rates(samples, server);
        latencies(samples, server);
        memory(samples, server);
    }
}

fn rates(samples: &Samples, server: usize) {
    for operation in Operation::ALL {
        let users = if operation == Operation::Login {
            16
        } else {
            64
        };
        let ratio = samples.ratio(server, operation, users);
        if let (Some(ratio), Some(target)) = (ratio, operation.target()) {
            let name = format!(
                "{}, {users} users, relative to the yardstick",
                operation.name()
            );
            at_least(&name, ratio, target);
        }
    }
}

fn latencies(samples: &Samples, server: usize) {
    let subject = Subject::Server(server);
    let lifecycle = Operation::Lifecycle;
    let base = (Subject::Yardstick, 1);
    let ratios = samples.ratios((subject, 1), base, lifecycle, |outcome| outcome.p50_ms);
    if let Some(ratio) = median(ratios) {
        at_most(
            "lifecycle, 1 user, p50 relative to the yardstick",
            ratio,
            3.0,
        );
    }
    let p99_ms = samples.median(subject, lifecycle, 64, |outcome| outcome.p99_ms);
    if let Some(p99_ms) = p99_ms {
        at_most("lifecycle, 64 users, p99 in ms", p99_ms, 250.0);
    }
    let cpu_ms = samples.median(subject, lifecycle, 64, |outcome| outcome.cpu_ms);
    if let Some(cpu_ms) = cpu_ms {
        at_most("lifecycle, CPU of the server in ms", cpu_ms, 0.5);
    }
    let failures = samples.sum(subject, lifecycle, 256, |outcome| outcome.failures);
    if samples
        .median(subject, lifecycle, 256, |outcome| outcome.rate)
        .is_some()
    {
        let failures = f64::from(u32::try_from(failures).unwrap());
        at_most("lifecycle, 256 users, failures", failures, 0.0);
    }
    let p50_ms = |operation| samples.median(subject, operation, 1, |outcome| outcome.p50_ms);
    let (few, many) = (p50_ms(Operation::Commands), p50_ms(Operation::ManyCommands));
    if let (Some(few), Some(many)) = (few, many) {
        at_most("1,000,000 commands, 1 user, p50 in ms", many, 5.0);
        at_most("1,000,000 commands, p50 relative to 1,000", many / few, 1.5);
    }
}

fn memory(samples: &Samples, server: usize) {
    let mut measured = samples.memory.iter();
    if let Some(memory) = measured.find(|memory| memory.server == server) {
        at_most("idle WebSocket, KiB", memory.socket_kib, 20.0);
        at_most("64 users for 60 s, peak in MiB", memory.peak_mib, 150.0);
        at_most("64 users for 60 s, growth in MiB", memory.growth_mib, 4.0);
    }
}

fn at_least(name: &str, measured: f64, target: f64) {
    print_target(name, measured, (">=", target), measured >= target);
}

fn at_most(name: &str, measured: f64, target: f64) {
    print_target(name, measured, ("<=", target), measured <= target);
}

fn print_target(name: &str, measured: f64, (relation, target): (&str, f64), is_met: bool) {
    let verdict = if is_met { "" } else { "missed" };
    let target = format!("{relation} {target}");
    println!("{name:<52} {measured:>10.2} {target:>9} {verdict}");
}
