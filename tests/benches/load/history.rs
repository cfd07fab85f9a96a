use tokio_postgres::Client;

use crate::{
    Context,
    arguments::Part,
    candidate::Candidate,
    databases::Role,
    load,
    operation::Operation,
    samples::{Sample, Samples, Subject},
};

/// Adds the commands from one number to another, one per second, the highest one now. Their foreign keys
/// are not checked, because that would take longer than the measurement.
const FILL: &str = "
    SET session_replication_role = replica;
    INSERT INTO commands
        (user_id, vehicle_id, command_name, command_params, status, submitted_at, started_at, completed_at)
    SELECT ('00000000-0000-4000-9000-' || lpad(to_hex(n % 256), 12, '0'))::uuid,
           ('00000000-0000-4000-8000-' || lpad(to_hex(n % 1000), 12, '0'))::uuid,
           'ReadDTC', '{\"ecuAddress\": \"0x10\"}', 'completed', moment, moment, moment
    FROM generate_series($FIRST, $LAST) n
    CROSS JOIN LATERAL (SELECT now() - (1000000 - n) * INTERVAL '1 s' AS moment) at;
    RESET session_replication_role";

/// Measures the list of commands for users who may read all of them, at two sizes of the table.
pub(crate) async fn measure(context: &Context<'_>, samples: &mut Samples) {
    if !context.includes(Part::Commands) {
        return;
    }
    for (index, binaries) in context.binaries.iter().enumerate() {
        let database = format!("history{index}");
        let candidate = Candidate::start(context.postgres, &database, binaries, Role::Admin);
        let candidate = candidate.await;
        fill(&candidate.sql, 999_001, 1_000_000).await;
        run(context, &candidate, index, Operation::Commands, samples).await;
        fill(&candidate.sql, 1, 999_000).await;
        run(context, &candidate, index, Operation::ManyCommands, samples).await;
    }
}

async fn run(
    context: &Context<'_>,
    candidate: &Candidate,
    index: usize,
    operation: Operation,
    samples: &mut Samples,
) {
    for users in &context.arguments.users {
        let (server, tokens) = (&candidate.server, &candidate.tokens);
        let outcome = load::run(server, tokens, operation, *users, context.duration()).await;
        samples.add(Sample {
            round: 0,
            subject: Subject::Server(index),
            operation,
            users: *users,
            outcome,
        });
    }
}

async fn fill(sql: &Client, first: u32, last: u32) {
    let fill = FILL.replace("$FIRST", &first.to_string());
    let fill = fill.replace("$LAST", &last.to_string());
    sql.batch_execute(&fill).await.unwrap();
    sql.batch_execute("VACUUM ANALYZE commands").await.unwrap();
}
