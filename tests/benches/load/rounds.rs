use crate::{
    Context,
    candidate::Candidate,
    databases::Role,
    load,
    operation::Operation,
    samples::{Sample, Samples, Subject},
    yardstick::{CLIENTS, Yardstick},
};

const OPERATIONS: [Operation; 4] = [
    Operation::Submit,
    Operation::SubmitOffline,
    Operation::Lifecycle,
    Operation::Vehicles,
];

/// Measures what has a counterpart in hand-written SQL. Each round reverses the
/// order of the servers.
pub(crate) async fn measure(context: &Context<'_>, samples: &mut Samples) {
    let operations = OPERATIONS.into_iter();
    let operations = operations.filter(|operation| context.includes(operation.part()));
    let operations: Vec<Operation> = operations.collect();
    if operations.is_empty() {
        return;
    }
    let mut candidates = Vec::new();
    for (index, binaries) in context.binaries.iter().enumerate() {
        let database = format!("load{index}");
        let start = Candidate::start(context.postgres, &database, binaries, Role::Engineer);
        candidates.push((index, start.await));
    }
    let yardstick = match context.binaries.last() {
        Some(binaries) if !context.arguments.no_yardstick => {
            Some(Yardstick::create(context.postgres, binaries).await)
        }
        _ => None,
    };
    for round in 0..context.arguments.rounds() {
        for operation in &operations {
            for users in &context.arguments.users {
                for (index, candidate) in &candidates {
                    let sample = run(context, candidate, *index, (round, *operation, *users));
                    samples.add(sample.await);
                }
            }
            for (yardstick, clients) in with_clients(yardstick.as_ref()) {
                samples.add(Sample {
                    round,
                    subject: Subject::Yardstick,
                    operation: *operation,
                    users: clients,
                    outcome: yardstick.run(*operation, clients, context.duration()),
                });
            }
        }
        candidates.reverse();
    }
}

async fn run(
    context: &Context<'_>,
    candidate: &Candidate,
    index: usize,
    (round, operation, users): (usize, Operation, usize),
) -> Sample {
    let (server, tokens) = (&candidate.server, &candidate.tokens);
    let outcome = load::run(server, tokens, operation, users, context.duration()).await;
    candidate.drain().await;
    Sample {
        round,
        subject: Subject::Server(index),
        operation,
        users,
        outcome,
    }
}

fn with_clients(yardstick: Option<&Yardstick>) -> impl Iterator<Item = (&Yardstick, usize)> {
    let clients = CLIENTS.into_iter();
    clients.filter_map(move |clients| yardstick.map(|yardstick| (yardstick, clients)))
}
