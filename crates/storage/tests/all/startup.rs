use std::{net::TcpListener, time::Duration};

use sovd_storage::{StorageError, migrations};
use tokio::time::{Instant, timeout};

use crate::fixture::migrated;

const TIMEOUT: Duration = Duration::from_millis(500);

/// The last attempt may end after the timeout, with a margin for a busy machine.
const LATEST: Duration = Duration::from_secs(6);

async fn outcome(url: &str) -> (Result<(), StorageError>, Duration) {
    let started = Instant::now();
    let wait = migrations::wait_for(url, TIMEOUT);
    let outcome = timeout(Duration::from_secs(20), wait).await.unwrap();
    (outcome, started.elapsed())
}

#[tokio::test]
async fn returns_at_once_if_the_database_responds() {
    let database = migrated().await;
    outcome(database.url()).await.0.unwrap();
    migrations::wait_for(database.url(), Duration::ZERO)
        .await
        .unwrap();
}

#[tokio::test]
async fn gives_up_if_nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://sovd@{}/x", listener.local_addr().unwrap());
    drop(listener);
    let (outcome, waited) = outcome(&url).await;
    assert!(
        matches!(outcome, Err(StorageError::Unavailable(_))),
        "{outcome:?}"
    );
    assert!(waited >= TIMEOUT / 2, "gave up after {waited:?}");
    assert!(waited <= LATEST, "waited {waited:?}");
}

#[tokio::test]
async fn gives_up_if_the_server_never_responds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://sovd@{}/x", listener.local_addr().unwrap());
    let (outcome, waited) = outcome(&url).await;
    assert!(
        matches!(outcome, Err(StorageError::Unavailable(_))),
        "{outcome:?}"
    );
    assert!(waited <= LATEST, "waited {waited:?}");
}

#[tokio::test]
async fn other_operations_report_an_unavailable_database() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://sovd@{}/x", listener.local_addr().unwrap());
    drop(listener);
    for error in [
        migrations::up(&url).await.unwrap_err(),
        migrations::status(&url).await.unwrap_err(),
        sovd_storage::seeds::insert(&url).await.unwrap_err(),
        sovd_storage::verify::run(&url).await.unwrap_err(),
    ] {
        assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    }
}
