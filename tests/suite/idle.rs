use std::time::Duration;

use sovd_devstack::Stack;
use sovd_tests::World;
use tokio::time::sleep;

/// How many transactions the database has had, as statistics say that lag by seconds.
async fn transactions(sql: &tokio_postgres::Client, database: &str) -> i64 {
    let query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1";
    sql.query_one(query, &[&database]).await.unwrap().get(0)
}

#[tokio::test]
async fn an_idle_server_leaves_the_database_alone() {
    let world = World::start().await;
    let row = world.sql().await;
    let row = row.query_one("SELECT current_database()::text", &[]).await;
    let database: String = row.unwrap().get(0);
    // From another database, so that looking does not count.
    let url = Stack::shared().unwrap().database_url();
    let (sql, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    // What the start has done is in the statistics by then.
    sleep(Duration::from_secs(15)).await;
    let before = transactions(&sql, &database).await;
    sleep(Duration::from_secs(15)).await;
    let transactions = transactions(&sql, &database).await - before;
    assert!(transactions <= 30, "{transactions} transactions in 15 s");
}
