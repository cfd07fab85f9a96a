use std::time::Duration;

use futures_util::future::join_all;
use sovd_devstack::{Postgres, SearchPath};
use sovd_storage::{Database, PoolSettings, StorageError, identity::users, migrations};

const SETTINGS: PoolSettings = PoolSettings {
    size: 4,
    overflow: 0,
    checkout_timeout: Duration::from_secs(1),
    statement_timeout: Duration::from_secs(30),
};

fn assert_unavailable<T>(outcome: Result<T, StorageError>) {
    match outcome.err().unwrap() {
        StorageError::Unavailable(_) => {}
        error => panic!("{error:?}"),
    }
}

/// Starts a server and a pool with four open connections.
async fn open_pool() -> (Postgres, Database) {
    let server = Postgres::start(&SearchPath::system()).unwrap();
    migrations::up(&server.url()).await.unwrap();
    let database = Database::new(&server.url(), SETTINGS);
    for connection in join_all((0..4).map(|_| database.connection())).await {
        let found = users::credentials_of(&mut connection.unwrap(), "unknown").await;
        assert!(found.unwrap().is_none());
    }
    (server, database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_an_outage_and_recovers() {
    let (server, database) = open_pool().await;
    server.stop().unwrap();
    assert_unavailable(database.ping().await);
    assert_unavailable(database.begin().await);
    server.start_again().unwrap();
    for _ in 0..8 {
        database.ping().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_between_requests_causes_no_error() {
    let (server, database) = open_pool().await;
    server.stop().unwrap();
    server.start_again().unwrap();
    for pinged in join_all((0..4).map(|_| database.ping())).await {
        pinged.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_operations_fail_as_unavailable() {
    let (server, database) = open_pool().await;
    let mut connection = database.connection().await.unwrap();
    let mut transaction = database.begin().await.unwrap();
    let uncommitted = database.begin().await.unwrap();
    server.stop().unwrap();
    assert_unavailable(users::credentials_of(&mut connection, "unknown").await);
    assert_unavailable(users::credentials_of(&mut transaction, "unknown").await);
    assert_unavailable(transaction.rollback().await);
    assert_unavailable(uncommitted.commit().await);
    drop(connection);
    server.start_again().unwrap();
    for pinged in join_all((0..4).map(|_| database.ping())).await {
        pinged.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connects_to_a_database_that_starts_later() {
    let (server, used) = open_pool().await;
    drop(used);
    server.stop().unwrap();
    let database = Database::new(&server.url(), SETTINGS);
    assert_unavailable(database.ping().await);
    server.start_again().unwrap();
    migrations::wait_for(&server.url(), Duration::from_secs(10))
        .await
        .unwrap();
    database.ping().await.unwrap();
}

/// The server terminates connections, as an administrator or a failover does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaces_terminated_connections() {
    let (server, database) = open_pool().await;
    let (client, driver) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(driver);
    let mut connection = database.connection().await.unwrap();
    client
        .execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE pid <> pg_backend_pid() AND datname = current_database()",
            &[],
        )
        .await
        .unwrap();
    assert_unavailable(users::credentials_of(&mut connection, "unknown").await);
    drop(connection);
    for pinged in join_all((0..4).map(|_| database.ping())).await {
        pinged.unwrap();
    }
}
