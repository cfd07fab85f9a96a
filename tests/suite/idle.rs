use std::time::Duration;

use sovd_devstack::{Postgres, PostgresOptions, SearchPath};
use sovd_tests::WorldOptions;
use tokio::time::sleep;
use tokio_postgres::NoTls;

#[tokio::test]
async fn an_idle_server_sends_few_statements() {
    let preload = ("shared_preload_libraries", "pg_stat_statements");
    let options = PostgresOptions {
        settings: vec![(preload.0.to_owned(), preload.1.to_owned())],
        ..PostgresOptions::default()
    };
    let postgres = Postgres::start_with(&SearchPath::system(), options).unwrap();
    let _world = WorldOptions::on(&postgres).await.start().await;
    let (sql, connection) = tokio_postgres::connect(&postgres.url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    sql.batch_execute("CREATE EXTENSION pg_stat_statements")
        .await
        .unwrap();
    // By then the server has completed its startup.
    sleep(Duration::from_secs(5)).await;
    sql.execute("SELECT pg_stat_statements_reset()", &[])
        .await
        .unwrap();
    sleep(Duration::from_secs(15)).await;
    let query = "SELECT sum(calls)::bigint FROM pg_stat_statements";
    let statements: i64 = sql.query_one(query, &[]).await.unwrap().get(0);
    assert!(statements <= 30, "{statements} statements in 15 s");
}
