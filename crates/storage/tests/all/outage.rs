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

/// A server and a pool with four connections, all of which have been used.
async fn in_use() -> (Postgres, Database) {
    let server = Postgres::start(&SearchPath::system()).unwrap();
    migrations::up(&server.url()).await.unwrap();
    let database = Database::new(&server.url(), SETTINGS);
    for lent in join_all((0..4).map(|_| database.connection())).await {
        let found = users::credentials_of(&mut lent.unwrap(), "nobody").await;
        assert!(found.unwrap().is_none());
    }
    (server, database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_says_that_the_database_is_away_and_works_when_it_is_back() {
    let (server, database) = in_use().await;
    server.stop().unwrap();
    assert_unavailable(database.ping().await);
    assert_unavailable(database.begin().await);
    server.start_again().unwrap();
    for _ in 0..8 {
        database.ping().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_between_two_requests_is_not_noticed() {
    let (server, database) = in_use().await;
    server.stop().unwrap();
    server.start_again().unwrap();
    for pinged in join_all((0..4).map(|_| database.ping())).await {
        pinged.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_at_work_during_an_outage_is_told_so() {
    let (server, database) = in_use().await;
    let mut connection = database.connection().await.unwrap();
    let mut transaction = database.begin().await.unwrap();
    let committing = database.begin().await.unwrap();
    server.stop().unwrap();
    assert_unavailable(users::credentials_of(&mut connection, "nobody").await);
    assert_unavailable(users::credentials_of(&mut transaction, "nobody").await);
    assert_unavailable(transaction.rollback().await);
    assert_unavailable(committing.commit().await);
    drop(connection);
    server.start_again().unwrap();
    for pinged in join_all((0..4).map(|_| database.ping())).await {
        pinged.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_may_start_before_its_database() {
    let (server, used) = in_use().await;
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

/// The server ends one connection, as an administrator or a failover would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_connections_are_replaced() {
    let (server, database) = in_use().await;
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut lent = database.connection().await.unwrap();
    client
        .execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE pid <> pg_backend_pid() AND datname = current_database()",
            &[],
        )
        .await
        .unwrap();
    assert_unavailable(users::credentials_of(&mut lent, "nobody").await);
    drop(lent);
    for pinged in join_all((0..4).map(|_| database.ping())).await {
        pinged.unwrap();
    }
}
