use std::{net::TcpListener, time::Duration};

use sovd_storage::{StorageError, migrations};
use tokio::time::{Instant, timeout};

use crate::fixture::migrated;

const PATIENCE: Duration = Duration::from_millis(500);

/// The last attempt may end after the patience, and a busy machine is slow.
const LATEST: Duration = Duration::from_secs(6);

async fn outcome(url: &str) -> (Result<(), StorageError>, Duration) {
    let begun = Instant::now();
    let waiting = migrations::wait_for(url, PATIENCE);
    let outcome = timeout(Duration::from_secs(20), waiting).await.unwrap();
    (outcome, begun.elapsed())
}

#[tokio::test]
async fn a_database_that_answers_is_not_waited_for() {
    let database = migrated().await;
    outcome(database.url()).await.0.unwrap();
    migrations::wait_for(database.url(), Duration::ZERO)
        .await
        .unwrap();
}

#[tokio::test]
async fn waiting_ends_when_nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://sovd@{}/x", listener.local_addr().unwrap());
    drop(listener);
    let (outcome, waited) = outcome(&url).await;
    assert!(
        matches!(outcome, Err(StorageError::Unavailable(_))),
        "{outcome:?}"
    );
    assert!(waited >= PATIENCE / 2, "gave up after {waited:?}");
    assert!(waited <= LATEST, "waited {waited:?}");
}

#[tokio::test]
async fn waiting_ends_when_the_listener_never_answers() {
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
async fn the_other_calls_report_a_database_that_is_away() {
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
