//! Failover between a primary and its replica.

use std::time::Duration;

use diesel::{sql_query, sql_types::Integer};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use sovd_devstack::{Postgres, SearchPath};
use sovd_storage::{Database, PoolSettings, StorageError, migrations};
use tokio::time::sleep;
use tokio_postgres::NoTls;

use crate::waiting::within_deadline;

const SETTINGS: PoolSettings = PoolSettings {
    size: 1,
    overflow: 0,
    checkout_timeout: Duration::from_secs(2),
    statement_timeout: Duration::from_secs(5),
};

const INSERT: &str = "INSERT INTO t SELECT count(*) FROM t";

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = Integer)]
    number: i32,
}

async fn insert(pool: &Database) -> Result<(), StorageError> {
    let mut connection = pool.connection().await?;
    sql_query(INSERT).execute(&mut *connection).await?;
    Ok(())
}

async fn number(pool: &Database, sql: &str) -> i32 {
    let mut connection = pool.connection().await.unwrap();
    let row: Number = sql_query(format!("SELECT ({sql})::int AS number"))
        .get_result(&mut *connection)
        .await
        .unwrap();
    row.number
}

/// Starts a primary with a table, and its replica.
async fn primary_and_replica() -> (Postgres, Postgres) {
    let primary = Postgres::start(&SearchPath::system()).unwrap();
    let pool = Database::new(&primary.url(), SETTINGS);
    let mut connection = pool.connection().await.unwrap();
    connection
        .batch_execute("CREATE TABLE t (n int)")
        .await
        .unwrap();
    let replica = primary.start_replica(&SearchPath::system()).unwrap();
    (primary, replica)
}

/// Waits until the replica has `count` rows.
async fn wait_until_replicated(replica: &Postgres, count: i32) {
    let pool = Database::new(&replica.url(), SETTINGS);
    within_deadline(async {
        while number(&pool, "SELECT count(*) FROM t").await < count {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connects_to_a_promoted_replica() {
    let (primary, replica) = primary_and_replica().await;
    // The replica is first in the URL, and is skipped until it is promoted.
    let url = format!(
        "postgres://sovd@127.0.0.1:{},127.0.0.1:{}/postgres",
        replica.port(),
        primary.port()
    );
    let pool = Database::new(&url, SETTINGS);
    let mut listener = pool.listen().await.unwrap();
    insert(&pool).await.unwrap();
    wait_until_replicated(&replica, 1).await;

    primary.stop().unwrap();
    assert!(within_deadline(listener.next()).await.is_err());
    let rejected = insert(&pool).await;
    assert!(
        matches!(rejected, Err(StorageError::Unavailable(_))),
        "{rejected:?}"
    );
    let error = migrations::wait_for(&url, Duration::ZERO)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");

    let (client, connection) = tokio_postgres::connect(&replica.url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client.simple_query("SELECT pg_promote()").await.unwrap();
    within_deadline(async {
        while insert(&pool).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(number(&pool, "SELECT count(*) FROM t").await, 2);
    within_deadline(pool.listen()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connects_to_the_next_host_if_one_hangs() {
    let (primary, replica) = primary_and_replica().await;
    let frozen = replica.freeze().unwrap();
    let url = format!(
        "postgres://sovd@127.0.0.1:{},127.0.0.1:{}/postgres?connect_timeout=1",
        replica.port(),
        primary.port()
    );
    migrations::wait_for(&url, Duration::ZERO).await.unwrap();
    drop(frozen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaces_a_read_only_connection() {
    let (_primary, replica) = primary_and_replica().await;
    let pool = Database::new(&replica.url(), SETTINGS);
    let before = number(&pool, "SELECT pg_backend_pid()").await;
    assert_eq!(number(&pool, "SELECT pg_backend_pid()").await, before);
    let rejected = insert(&pool).await;
    assert!(
        matches!(rejected, Err(StorageError::Unavailable(_))),
        "{rejected:?}"
    );
    assert_ne!(number(&pool, "SELECT pg_backend_pid()").await, before);
}
