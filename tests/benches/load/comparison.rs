use crate::{
    arguments::Arguments,
    operation::Operation,
    samples::{Samples, Subject, median},
};

/// Prints what the second server achieved in each round, relative to the first.
pub(crate) fn print(samples: &Samples, arguments: &Arguments) {
    if arguments.server.len() < 2 {
        return;
    }
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
