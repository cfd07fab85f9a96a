use crate::{load::Outcome, operation::Operation, report::label, yardstick::CLIENTS};

/// What was measured: a server by its index on the command line, or hand-written SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Server(usize),
    Yardstick,
}

/// One measurement.
pub(crate) struct Sample {
    pub(crate) round: usize,
    pub(crate) subject: Subject,
    pub(crate) operation: Operation,
    /// Concurrent users, or clients of PostgreSQL.
    pub(crate) users: usize,
    pub(crate) outcome: Outcome,
}

/// The memory of a server.
pub(crate) struct Memory {
    pub(crate) server: usize,
    /// For each idle WebSocket.
    pub(crate) socket_kib: f64,
    /// The most that was resident during a minute of lifecycles.
    pub(crate) peak_mib: f64,
    /// The mean of the second half of that minute above the mean of the first.
    pub(crate) growth_mib: f64,
}

/// All measurements of a run.
#[derive(Default)]
pub(crate) struct Samples {
    pub(crate) measured: Vec<Sample>,
    pub(crate) memory: Vec<Memory>,
}

impl Samples {
    /// Adds a measurement and prints it.
    pub(crate) fn add(&mut self, sample: Sample) {
        let subject = match sample.subject {
            Subject::Server(server) => label(server),
            Subject::Yardstick => "yardstick",
        };
        let (round, users, outcome) = (sample.round, sample.users, &sample.outcome);
        let name = sample.operation.name();
        let (rate, p50_ms, failures) = (outcome.rate, outcome.p50_ms, outcome.failures);
        println!(
            "round {round}: {name}, {subject}, {users}: {rate:.0}/s, {p50_ms:.1} ms, {failures} failed"
        );
        self.measured.push(sample);
    }

    /// Returns the median over the rounds of one value of a subject; `None` if it was not measured.
    pub(crate) fn median(
        &self,
        subject: Subject,
        operation: Operation,
        users: usize,
        value: impl Fn(&Outcome) -> f64,
    ) -> Option<f64> {
        let of = self.rounds(subject, operation, users);
        median(of.map(|sample| value(&sample.outcome)))
    }

    /// Returns a value of one subject in each round, relative to that of another in the same round.
    pub(crate) fn ratios(
        &self,
        (subject, users): (Subject, usize),
        (base, base_users): (Subject, usize),
        operation: Operation,
        value: impl Fn(&Outcome) -> f64,
    ) -> Vec<f64> {
        let of = self.rounds(subject, operation, users);
        let ratios = of.filter_map(|sample| {
            let mut bases = self.rounds(base, operation, base_users);
            let base = bases.find(|base| base.round == sample.round)?;
            Some(value(&sample.outcome) / value(&base.outcome))
        });
        ratios.collect()
    }

    /// Returns the sum over the rounds of one number of a subject.
    pub(crate) fn sum(
        &self,
        subject: Subject,
        operation: Operation,
        users: usize,
        number: impl Fn(&Outcome) -> usize,
    ) -> usize {
        let of = self.rounds(subject, operation, users);
        of.map(|sample| number(&sample.outcome)).sum()
    }

    /// Returns the median rate relative to the yardstick: with one client for one user, otherwise with as
    /// many clients as suit it best. Logins have one yardstick.
    pub(crate) fn ratio(&self, server: usize, operation: Operation, users: usize) -> Option<f64> {
        let [one, many] = CLIENTS;
        let clients = match operation {
            Operation::Login => one,
            _ if users == 1 => one,
            _ => many,
        };
        let (subject, base) = (Subject::Server(server), (Subject::Yardstick, clients));
        median(self.ratios((subject, users), base, operation, |outcome| outcome.rate))
    }

    fn rounds(
        &self,
        subject: Subject,
        operation: Operation,
        users: usize,
    ) -> impl Iterator<Item = &Sample> {
        self.measured.iter().filter(move |sample| {
            (sample.subject, sample.operation, sample.users) == (subject, operation, users)
        })
    }
}

/// Returns the median, or `None` of no values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let above = values.get(values.len() / 2)?;
    let below = values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(*below, *above))
}
