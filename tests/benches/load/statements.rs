use std::time::Duration;

use sovd_devstack::Postgres;
use tokio::time::sleep;
use tokio_postgres::{Client, Row};

use crate::{
    binaries::Binaries,
    databases::{self, Role, connect, count},
    load::as_float,
    operation::Operation,
    report::label,
    server::Server,
    user::{User, log_in},
};

const LIFECYCLES: usize = 500;
/// The time in which the backends of PostgreSQL publish their statistics.
const STATISTICS_DELAY: Duration = Duration::from_secs(2);

/// Prints how often each statement is executed for one lifecycle of a single user.
pub(crate) async fn print(postgres: &Postgres, index: usize, binaries: &Binaries) {
    let name = &format!("statements{index}");
    let url = databases::create(postgres, name, binaries, Role::Engineer).await;
    let server = Server::start(binaries, &url, &[]);
    let token = log_in(server.address, "load0").await;
    let mut user = User::new(server.address, &token, 0);
    run(&mut user, LIFECYCLES / 5).await;
    sleep(STATISTICS_DELAY).await;

    // On another database, whose statements and transactions are not counted.
    let client = connect(&postgres.url()).await;
    let extension = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
    client.batch_execute(extension).await.unwrap();
    let reset = "SELECT pg_stat_statements_reset()";
    client.query(reset, &[]).await.unwrap();
    let transactions = transactions(&client, name).await;
    let flushes = flushes(&client).await;
    run(&mut user, LIFECYCLES).await;
    sleep(STATISTICS_DELAY).await;
    let transactions = self::transactions(&client, name).await - transactions;
    let flushes = self::flushes(&client).await - flushes;
    let rows = statements(&client, name).await;
    println!("\none lifecycle of server {}", label(index));
    report(&rows, transactions, flushes);
}

async fn run(user: &mut User, lifecycles: usize) {
    for _ in 0..lifecycles {
        user.perform(Operation::Lifecycle).await.unwrap();
    }
}

async fn transactions(client: &Client, database: &str) -> i64 {
    let query = format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{database}'");
    count(client, &query).await
}

/// Returns how often the write-ahead log reached the disk.
async fn flushes(client: &Client) -> i64 {
    count(client, "SELECT wal_sync FROM pg_stat_wal").await
}

async fn statements(client: &Client, database: &str) -> Vec<Row> {
    let query = "
        SELECT toplevel, sum(calls)::bigint, sum(total_exec_time) / sum(calls),
               regexp_replace(query, '\\s+', ' ', 'g') AS query
        FROM pg_stat_statements
        JOIN pg_database ON pg_database.oid = dbid
        WHERE datname = $1
        GROUP BY toplevel, 4 ORDER BY toplevel DESC, 2 DESC";
    client.query(query, &[&database]).await.unwrap()
}

fn report(rows: &[Row], transactions: i64, flushes: i64) {
    let per_lifecycle =
        |calls: i64| as_float(usize::try_from(calls).unwrap()) / as_float(LIFECYCLES);
    let sum = |toplevel: bool| {
        let rows = rows.iter().filter(|row| row.get::<_, bool>(0) == toplevel);
        per_lifecycle(rows.map(|row| row.get::<_, i64>(1)).sum())
    };
    println!("{:>8.1}  statements of clients", sum(true));
    println!("{:>8.1}  statements of triggers and functions", sum(false));
    println!("{:>8.1}  transactions", per_lifecycle(transactions));
    println!(
        "{:>8.1}  flushes of the write-ahead log",
        per_lifecycle(flushes)
    );
    println!("{:>8}  {:>8}  {:<7}", "calls", "ms each", "by");
    for row in rows {
        let calls = per_lifecycle(row.get(1));
        if calls >= 0.02 {
            let by = if row.get(0) { "client" } else { "trigger" };
            let (ms, query): (f64, String) = (row.get(2), row.get(3));
            let query: String = query.chars().take(140).collect();
            println!("{calls:>8.2}  {ms:>8.3}  {by:<7}  {query}");
        }
    }
}
