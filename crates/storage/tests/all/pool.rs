use std::time::Duration;

use sovd_storage::{PoolSettings, StorageError};

use crate::fixture::{Fleet, at, command};

/// Returns a fleet whose pool has two connections, so that leaking them causes a timeout.
async fn with_two_connections() -> Fleet {
    Fleet::with_pool(PoolSettings {
        size: 1,
        overflow: 1,
        checkout_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(30),
    })
    .await
}

#[tokio::test]
async fn limits_the_wait_to_the_checkout_timeout() {
    let fleet = Fleet::new().await;
    let pool = sovd_storage::Database::new(
        fleet.url(),
        PoolSettings {
            size: 1,
            overflow: 1,
            checkout_timeout: Duration::from_millis(300),
            statement_timeout: Duration::from_secs(30),
        },
    );
    let (one, other) = (pool.connection().await, pool.connection().await);
    let (one, _other) = (one.unwrap(), other.unwrap());
    assert_eq!(pool.connections_in_use(), 2);
    for error in [
        pool.connection().await.map(|_| ()).unwrap_err(),
        pool.begin().await.map(|_| ()).unwrap_err(),
        pool.ping().await.unwrap_err(),
    ] {
        assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    }
    drop(one);
    pool.ping().await.unwrap();
    assert_eq!(pool.connections_in_use(), 1);
}

#[tokio::test]
async fn keeps_the_changes_of_a_committed_transaction() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let mut transaction = fleet.pool.begin().await.unwrap();
    let command = command(1, fleet.engineer, vehicle, at(0));
    sovd_storage::commands::insert(&mut transaction, &command)
        .await
        .unwrap();
    assert_eq!(fleet.count("commands").await, 0);
    transaction.commit().await.unwrap();
    assert_eq!(fleet.count("commands").await, 1);
}

#[tokio::test]
async fn discards_the_changes_of_a_dropped_or_rolled_back_transaction() {
    let fleet = with_two_connections().await;
    let vehicle = fleet.vehicle("VIN1").await;
    for number in 1..=10 {
        let mut transaction = fleet.pool.begin().await.unwrap();
        let command = command(number, fleet.engineer, vehicle, at(0));
        sovd_storage::commands::insert(&mut transaction, &command)
            .await
            .unwrap();
        if number % 2 == 0 {
            transaction.rollback().await.unwrap();
        } else {
            drop(transaction);
        }
        assert_eq!(fleet.pool.connections_in_use(), 0);
    }
    assert_eq!(fleet.count("commands").await, 0);
    fleet
        .store(&command(1, fleet.engineer, vehicle, at(0)))
        .await;
    assert_eq!(fleet.count("commands").await, 1);
}

#[tokio::test]
async fn a_failed_statement_does_not_affect_the_pool() {
    let fleet = with_two_connections().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = command(1, fleet.engineer, vehicle, at(0));
    fleet.store(&command).await;
    for _ in 0..5 {
        let mut transaction = fleet.pool.begin().await.unwrap();
        let error = sovd_storage::commands::insert(&mut transaction, &command)
            .await
            .unwrap_err();
        assert!(matches!(error, StorageError::Duplicate { .. }), "{error:?}");
        transaction.rollback().await.unwrap();
        fleet.pool.ping().await.unwrap();
    }
}

#[tokio::test]
async fn clones_share_the_connections() {
    let fleet = with_two_connections().await;
    let clone = fleet.pool.clone();
    let _both = (fleet.connection().await, fleet.connection().await);
    assert_eq!(clone.connections_in_use(), 2);
    clone.ping().await.unwrap_err();
}
