//! Test databases on private and external servers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};

use sovd_devstack::{Postgres, SearchPath, Stack, StackError};
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Leaves its connection open, as a pool does.
async fn migrate(url: &str) -> Result<(), tokio_postgres::Error> {
    connect(url)
        .await
        .batch_execute("CREATE TABLE notes (note text)")
        .await
}

async fn exists(url: &str, name: &str) -> bool {
    let query = "SELECT 1 FROM pg_database WHERE datname = $1";
    connect(url)
        .await
        .query_opt(query, &[&name])
        .await
        .unwrap()
        .is_some()
}

async fn test_databases(url: &str) -> i64 {
    let query = "SELECT count(*) FROM pg_database WHERE datname LIKE 'sovd\\_test\\_%'";
    connect(url)
        .await
        .query_one(query, &[])
        .await
        .unwrap()
        .get(0)
}

#[tokio::test]
async fn test_databases_are_independent_and_dropped() {
    let stack = Stack::shared().unwrap();
    let (one, two) = tokio::join!(
        stack.test_database("notes", migrate),
        stack.test_database("notes", migrate)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    let insert = "INSERT INTO notes VALUES ('only here')";
    one.client()
        .await
        .unwrap()
        .execute(insert, &[])
        .await
        .unwrap();
    let count = "SELECT count(*) FROM notes";
    let in_two = two
        .client()
        .await
        .unwrap()
        .query_one(count, &[])
        .await
        .unwrap();
    assert_eq!(in_two.get::<_, i64>(0), 0);

    let names = [one.name().to_owned(), two.name().to_owned()];
    drop((one, two));
    for name in names {
        assert!(!exists(stack.database_url(), &name).await);
    }
}

#[tokio::test]
async fn a_spawned_task_can_create_a_database() {
    let stack = Stack::shared().unwrap();
    let database = tokio::spawn(stack.test_database("notes", migrate));
    database.await.unwrap().unwrap();
}

#[test]
fn concurrent_tests_share_one_template() {
    static MIGRATIONS: AtomicU32 = AtomicU32::new(0);
    let stack = Stack::shared().unwrap();
    let test = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let counted = async |url: &str| {
                MIGRATIONS.fetch_add(1, Ordering::Relaxed);
                migrate(url).await
            };
            let database = stack.test_database("counted", counted).await.unwrap();
            let client = database.client().await.unwrap();
            client
                .execute("INSERT INTO notes VALUES ('mine')", &[])
                .await
                .unwrap();
        });
    };
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(test);
        }
    });
    assert_eq!(MIGRATIONS.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_failed_migration_is_reported_and_retried() {
    let stack = Stack::shared().unwrap();
    let error = stack
        .test_database("broken", async |_: &str| Err("no such column"))
        .await;
    let error = format!("{:?}", error.unwrap_err());
    assert_eq!(
        error,
        "cannot migrate the template database `broken`: no such column"
    );
    stack
        .test_database("broken", async |_: &str| Ok::<(), Infallible>(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_external_server_keeps_no_test_database() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let url = format!("{}?connect_timeout=3", postgres.url());
    let stack = Stack::start_beside(Some(url.clone()), None).unwrap();
    assert!(stack.postgres().is_none());
    assert_eq!(stack.database_url(), url);
    let redis = ("127.0.0.1", stack.redis().unwrap().port());
    let database = stack.test_database("notes", migrate).await.unwrap();
    assert!(exists(&postgres.url(), database.name()).await);
    let path_and_query = format!("/{}?connect_timeout=3", database.name());
    assert!(database.url().ends_with(&path_and_query));

    drop(stack);
    assert_eq!(test_databases(&postgres.url()).await, 0);
    assert!(TcpStream::connect(redis).is_err());
}

#[tokio::test]
async fn only_databases_of_dead_owners_are_dropped() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let url = postgres.url();
    let dead = "sovd_test_00000000000000ab_1";
    let unrelated = [
        "sovd_test_1_2",
        "sovd_test_00000000000000AB_1",
        "sovd_test_",
        "sovd_test_00000000000000ab_1\"; --",
    ];
    for name in unrelated {
        let create = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
        connect(&url).await.batch_execute(&create).await.unwrap();
    }
    connect(&url)
        .await
        .batch_execute(&format!("CREATE DATABASE {dead}"))
        .await
        .unwrap();
    let other = Stack::start_beside(Some(postgres.url()), None).unwrap();
    let alive = other.test_database("notes", migrate).await.unwrap();
    assert!(!exists(&url, dead).await);

    connect(&url)
        .await
        .batch_execute(&format!("CREATE DATABASE {dead}"))
        .await
        .unwrap();
    let stack = Stack::start_beside(Some(postgres.url()), None).unwrap();
    let own = stack.empty_database().await.unwrap();
    assert!(!exists(&url, dead).await);
    for name in unrelated.into_iter().chain([alive.name(), own.name()]) {
        assert!(exists(&url, name).await, "{name}");
    }
    alive.client().await.unwrap();
}

#[tokio::test]
async fn test_databases_survive_an_outage() {
    let stack = Stack::start_beside(None, None).unwrap();
    let database = stack.empty_database().await.unwrap();
    let postgres = stack.postgres().unwrap();
    postgres.stop().unwrap();
    assert!(matches!(
        stack.empty_database().await,
        Err(StackError::Database { .. })
    ));
    postgres.start_again().unwrap();
    database.client().await.unwrap();
    stack.empty_database().await.unwrap();
}

#[test]
fn rejects_other_forms_of_a_database_url() {
    for url in ["host=localhost user=sovd", "mysql://db/x", ""] {
        let redis_url = "redis://127.0.0.1:1".to_owned();
        let stack = Stack::start_beside(Some(url.to_owned()), Some(redis_url));
        assert!(matches!(stack, Err(StackError::DatabaseUrl)), "{url}");
    }
}
