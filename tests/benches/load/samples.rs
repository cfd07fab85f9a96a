use crate::{load::Outcome, operation::Operation};

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

/// All measurements of a run.
#[derive(Default)]
pub(crate) struct Samples(pub(crate) Vec<Sample>);

impl Samples {
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

    fn rounds(
        &self,
        subject: Subject,
        operation: Operation,
        users: usize,
    ) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| {
            (sample.subject, sample.operation, sample.users) == (subject, operation, users)
        })
    }
}

/// Returns the median, or `None` of no values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
