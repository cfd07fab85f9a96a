//! Errors are classified by their SQLSTATE, independently of the language of the server.

use std::{fs, os::unix::fs::PermissionsExt, process::Command, time::Duration};

use diesel::{
    sql_query,
    sql_types::{Integer, Text},
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use sovd_devstack::{Postgres, PostgresOptions, SearchPath};
use sovd_storage::{Connection, Database, PoolSettings, StorageError};
use tempfile::TempDir;

use crate::{fixture::Fleet, waiting::within_deadline};

const LOCALE: &str = "de_DE.UTF-8";

const SETTINGS: PoolSettings = PoolSettings {
    size: 1,
    overflow: 3,
    checkout_timeout: Duration::from_secs(10),
    statement_timeout: Duration::from_secs(30),
};

#[derive(diesel::QueryableByName)]
struct Pid {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

#[derive(diesel::QueryableByName)]
struct Setting {
    #[diesel(sql_type = Text)]
    setting: String,
}

async fn run(connection: &mut Connection, sql: &str) -> Result<(), StorageError> {
    sql_query(sql).execute(connection).await?;
    Ok(())
}

async fn pid(connection: &mut Connection) -> i32 {
    let row: Pid = sql_query("SELECT pg_backend_pid() AS pid")
        .get_result(connection)
        .await
        .unwrap();
    row.pid
}

#[track_caller]
fn assert_unavailable(outcome: Result<(), StorageError>, code: &str) {
    match outcome {
        Err(StorageError::Unavailable(reason)) => assert!(reason.contains(code), "{reason}"),
        outcome => panic!("{code}: {outcome:?}"),
    }
}

/// Starts a server with German messages. Compiles the locale into a temporary directory; on macOS it is
/// available.
fn german() -> (Postgres, TempDir) {
    let locales = tempfile::tempdir().unwrap();
    fs::set_permissions(locales.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut options = PostgresOptions {
        settings: vec![
            ("lc_messages".to_owned(), LOCALE.to_owned()),
            ("deadlock_timeout".to_owned(), "10ms".to_owned()),
        ],
        ..PostgresOptions::default()
    };
    if !cfg!(target_os = "macos") {
        let compiled = Command::new("localedef")
            .args(["-i", "de_DE", "-f", "UTF-8"])
            .arg(locales.path().join(LOCALE))
            .output()
            .unwrap();
        assert!(compiled.status.success(), "{compiled:?}");
        let path = locales.path().to_str().unwrap().to_owned();
        options.environment = vec![("LOCPATH".to_owned(), path)];
    }
    let server = Postgres::start_with(&SearchPath::system(), options).unwrap();
    (server, locales)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classifies_outages_of_a_german_server() {
    let (server, _locales) = german();
    let pool = Database::new(&server.url(), SETTINGS);
    let mut connection = pool.connection().await.unwrap();
    connection
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
        .await
        .unwrap();
    let row: Setting = sql_query("SELECT current_setting('lc_messages') AS setting")
        .get_result(&mut *connection)
        .await
        .unwrap();
    assert_eq!(row.setting, LOCALE);
    let lock = |id: i32| format!("SELECT FROM t WHERE id = {id} FOR UPDATE");

    let mut holder = pool.begin().await.unwrap();
    run(&mut holder, &lock(1)).await.unwrap();
    for (limit, code) in [("lock_timeout", "55P03"), ("statement_timeout", "57014")] {
        let mut waiting = pool.begin().await.unwrap();
        let limit = format!("SET LOCAL {limit} = '50ms'");
        waiting.batch_execute(&limit).await.unwrap();
        assert_unavailable(run(&mut waiting, &lock(1)).await, code);
        waiting.rollback().await.unwrap();
    }

    let mut other = pool.begin().await.unwrap();
    run(&mut other, &lock(2)).await.unwrap();
    let (two, one) = (lock(2), lock(1));
    let both = async { tokio::join!(run(&mut holder, &two), run(&mut other, &one)) };
    let (first, second) = within_deadline(both).await;
    assert_unavailable(first.and(second), "40P01");
    drop((holder, other));

    let connection_pid = pid(&mut connection).await;
    let mut administrator = pool.connection().await.unwrap();
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE pid = {connection_pid} AND wait_event = 'PgSleep'"
    );
    let termination = async {
        while sql_query(&end).execute(&mut *administrator).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let sleep = run(&mut connection, "SELECT pg_sleep(60)");
    let (outcome, ()) = within_deadline(async { tokio::join!(sleep, termination) }).await;
    assert_unavailable(outcome, "57P01");

    let rejected = run(&mut administrator, "SELECT FROM nowhere").await;
    assert!(
        matches!(rejected, Err(StorageError::Database(_))),
        "{rejected:?}"
    );
    assert!(pool.listen().await.is_ok());
}

#[tokio::test]
async fn classifies_by_code_and_not_by_message() {
    let fleet = Fleet::new().await;
    let raise = async |code: &str, message: &str| {
        let mut connection = fleet.connection().await;
        let sql = format!("DO $$ BEGIN RAISE '{message}' USING ERRCODE = '{code}'; END $$");
        run(&mut connection, &sql).await
    };
    for code in [
        "08006", "25006", "25P03", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P01",
        "57P02", "57P03", "58030",
    ] {
        assert_unavailable(raise(code, "andere Worte").await, "andere Worte");
    }
    for code in ["22012", "42P01", "57P04", "P0001", "XX000"] {
        let outcome = raise(code, "canceling statement due to lock timeout").await;
        assert!(
            matches!(outcome, Err(StorageError::Database(_))),
            "{code}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn cancels_a_slow_statement_and_keeps_the_connection() {
    let fleet = Fleet::new().await;
    let pool = Database::new(
        fleet.url(),
        PoolSettings {
            overflow: 0,
            statement_timeout: Duration::from_secs(1),
            ..SETTINGS
        },
    );
    let mut connection = pool.connection().await.unwrap();
    let before = pid(&mut connection).await;
    let slow = within_deadline(run(&mut connection, "SELECT pg_sleep(30)")).await;
    assert_unavailable(slow, "57014");
    drop(connection);
    let mut connection = pool.connection().await.unwrap();
    assert_eq!(pid(&mut connection).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaces_a_connection_whose_statement_expires() {
    let server = Postgres::start(&SearchPath::system()).unwrap();
    let pool = Database::new(
        &server.url(),
        PoolSettings {
            overflow: 0,
            statement_timeout: Duration::from_secs(1),
            ..SETTINGS
        },
    );
    let mut connection = pool.connection().await.unwrap();
    let before = pid(&mut connection).await;
    let frozen = server.freeze().unwrap();
    assert_unavailable(
        within_deadline(run(&mut connection, "SELECT 1")).await,
        "no result before the deadline",
    );
    assert_unavailable(run(&mut connection, "SELECT 1").await, "is broken");
    drop(connection);
    within_deadline(pool.ping()).await.unwrap_err();
    within_deadline(pool.listen()).await.map(drop).unwrap_err();
    drop(frozen);
    let mut connection = within_deadline(pool.connection()).await.unwrap();
    assert_ne!(pid(&mut connection).await, before);
}
