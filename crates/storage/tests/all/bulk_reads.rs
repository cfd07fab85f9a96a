use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use sovd_domain::VehicleScope;
use sovd_storage::{Database, PoolSettings, StorageError, fleet::vehicles};
use tokio::time::sleep;

use crate::{
    fixture::{Fleet, page},
    waiting::{wait_until_blocked, within_deadline},
};

fn pool(fleet: &Fleet, size: u32) -> Database {
    let settings = PoolSettings {
        size,
        overflow: 0,
        checkout_timeout: Duration::from_millis(300),
        statement_timeout: Duration::from_secs(30),
    };
    Database::new(fleet.url(), settings)
}

/// Waits until a condition is true.
async fn wait_until(condition: impl Fn() -> bool) {
    within_deadline(async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn bulk_reads_take_a_third_of_the_pool() {
    let fleet = Fleet::new().await;
    for (size, share) in [(1, 1), (2, 1), (5, 1), (6, 2)] {
        let pool = pool(&fleet, size);
        let mut taken = Vec::new();
        for _ in 0..share {
            taken.push(pool.bulk_connection(()).await.unwrap());
        }
        let rejected = pool.bulk_connection(()).await.map(|_| ()).unwrap_err();
        assert!(
            matches!(&rejected, StorageError::Unavailable(reason) if reason.contains("bulk reads")),
            "{size}: {rejected}"
        );
        if size > 1 {
            pool.ping().await.unwrap();
        }
        taken.pop();
        taken.push(within_deadline(pool.bulk_connection(())).await.unwrap());
        drop(taken);
        wait_until(|| pool.connections_in_use() == 0).await;
    }
}

#[tokio::test]
async fn keeps_the_permit_of_an_abandoned_read_until_the_server_has_finished() {
    let fleet = Fleet::new().await;
    let pool = pool(&fleet, 6);
    let permit = Arc::new(());
    let held: Weak<()> = Arc::downgrade(&permit);
    let blocker = fleet.another_client().await;
    let lock = "BEGIN; LOCK TABLE vehicles IN ACCESS EXCLUSIVE MODE";
    blocker.batch_execute(lock).await.unwrap();
    let mut connection = pool.bulk_connection(permit).await.unwrap();
    {
        let filter = vehicles::VehicleFilter::default();
        let scope = VehicleScope::All;
        let read = vehicles::list(&mut connection, &filter, &scope, page(50, 0));
        tokio::select! {
            _ = read => panic!("the table is locked"),
            () = wait_until_blocked(&fleet, 1) => {}
        }
    }
    drop(connection);
    // The connection stays in use while the statement runs.
    for _ in 0..5 {
        pool.ping().await.unwrap();
    }
    assert_eq!(held.strong_count(), 1);
    assert_eq!(pool.connections_in_use(), 1);
    blocker.batch_execute("COMMIT").await.unwrap();
    wait_until(|| held.strong_count() == 0 && pool.connections_in_use() == 0).await;
}
