use std::{fs, path::Path, time::Duration};

use serde_json::json;

use crate::{attacks::Tallies, users::Reply};

/// The measurements of one phase.
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) replies: Vec<Reply>,
    pub(crate) span: Duration,
    /// The peak resident memory of the server in KiB.
    pub(crate) resident_kib: u64,
}

struct Figures {
    per_second: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    failed: usize,
}

impl Phase {
    fn figures(&self) -> Figures {
        let mut times: Vec<f64> = self
            .replies
            .iter()
            .map(|reply| reply.time.as_secs_f64() * 1000.0)
            .collect();
        times.sort_by(f64::total_cmp);
        let share = |percent: usize| {
            let index = (times.len() * percent / 100).min(times.len() - 1);
            *times.get(index).unwrap()
        };
        let count = u32::try_from(times.len()).unwrap();
        Figures {
            per_second: f64::from(count) / self.span.as_secs_f64(),
            p50_ms: share(50),
            p95_ms: share(95),
            p99_ms: share(99),
            failed: self.replies.iter().filter(|it| !it.is_good).count(),
        }
    }
}

pub(crate) fn report(phases: &[Phase; 2], tallies: &Tallies) {
    println!(
        "{:<10} {:>10} {:>9} {:>9} {:>9} {:>7} {:>10}",
        "phase", "replies/s", "p50 ms", "p95 ms", "p99 ms", "failed", "memory MiB"
    );
    let figures = phases.each_ref().map(Phase::figures);
    for (phase, it) in phases.iter().zip(&figures) {
        println!(
            "{:<10} {:>10.0} {:>9.1} {:>9.1} {:>9.1} {:>7} {:>10}",
            phase.name,
            it.per_second,
            it.p50_ms,
            it.p95_ms,
            it.p99_ms,
            it.failed,
            phase.resident_kib / 1024
        );
    }
    let [quiet, attacked] = &figures;
    let ratio = attacked.p95_ms / quiet.p95_ms;
    println!("ratio of the p95 {ratio:.2}, target at most 3");
    println!("attempts of each attack {tallies:?}");
    let report = json!({
        "seconds": phases.last().map(|phase| phase.span.as_secs()),
        "quiet_p95_ms": quiet.p95_ms,
        "attacked_p95_ms": attacked.p95_ms,
        "ratio": ratio,
        "failed": attacked.failed,
        "resident_kib": phases.last().map(|phase| phase.resident_kib),
        "attacks": tallies,
    });
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("attack.json"), format!("{report}\n")).unwrap();
}
