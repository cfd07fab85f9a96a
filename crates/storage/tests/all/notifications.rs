use std::{net::TcpListener, time::Duration};

use futures_util::FutureExt;
use sovd_storage::{
    Database, PoolSettings, StorageError,
    notifications::{self, Listener, Notification},
};
use tokio::{runtime::Builder, task::spawn_blocking};
use uuid::Uuid;

use crate::{fixture::Fleet, waiting::within_deadline};

fn cancelled(number: u128) -> Notification {
    Notification::Cancelled(Uuid::from_u128(number))
}

async fn send(fleet: &Fleet, notification: Notification) {
    notifications::send(&mut *fleet.connection().await, notification)
        .await
        .unwrap();
}

async fn next(listener: &mut Listener) -> Notification {
    within_deadline(listener.next()).await.unwrap()
}

#[tokio::test]
async fn every_listener_receives_all_notifications_in_order() {
    let fleet = Fleet::new().await;
    let mut listeners = [
        fleet.pool.listen().await.unwrap(),
        fleet.pool.listen().await.unwrap(),
    ];
    let said = [
        cancelled(7),
        Notification::Work,
        cancelled(8),
        Notification::Work,
    ];
    for notification in said {
        send(&fleet, notification).await;
    }
    for listener in &mut listeners {
        for notification in said {
            assert_eq!(next(listener).await, notification);
        }
    }
}

#[tokio::test]
async fn listening_takes_no_connection_from_the_pool() {
    let fleet = Fleet::new().await;
    let _listener = fleet.pool.listen().await.unwrap();
    assert_eq!(fleet.pool.connections_in_use(), 0);
}

#[tokio::test]
async fn a_notification_is_delivered_after_the_commit() {
    let fleet = Fleet::new().await;
    let mut listener = fleet.pool.listen().await.unwrap();
    let mut transaction = fleet.pool.begin().await.unwrap();
    notifications::send(&mut transaction, cancelled(1))
        .await
        .unwrap();
    send(&fleet, cancelled(2)).await;
    assert_eq!(next(&mut listener).await, cancelled(2));
    transaction.commit().await.unwrap();
    assert_eq!(next(&mut listener).await, cancelled(1));
}

#[tokio::test]
async fn a_rollback_discards_a_notification() {
    let fleet = Fleet::new().await;
    let mut listener = fleet.pool.listen().await.unwrap();
    let mut transaction = fleet.pool.begin().await.unwrap();
    notifications::send(&mut transaction, cancelled(1))
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    send(&fleet, cancelled(2)).await;
    assert_eq!(next(&mut listener).await, cancelled(2));
}

/// A newer version may send more kinds.
#[tokio::test]
async fn unknown_notifications_are_ignored() {
    let fleet = Fleet::new().await;
    let mut listener = fleet.pool.listen().await.unwrap();
    for word in ["restart", "", "Work", "cancelled", "cancelled x"] {
        let sql = "SELECT pg_notify('sovd_queue', $1)";
        fleet.client.execute(sql, &[&word]).await.unwrap();
    }
    send(&fleet, Notification::Work).await;
    assert_eq!(next(&mut listener).await, Notification::Work);
    send(&fleet, cancelled(1)).await;
    assert_eq!(next(&mut listener).await, cancelled(1));
}

/// A dispatcher waits for other events at the same time.
#[tokio::test]
async fn a_cancelled_wait_loses_no_notification() {
    let fleet = Fleet::new().await;
    let mut listener = fleet.pool.listen().await.unwrap();
    for number in 0..5 {
        assert!(listener.next().now_or_never().is_none());
        send(&fleet, cancelled(number)).await;
        assert_eq!(next(&mut listener).await, cancelled(number));
    }
}

#[tokio::test]
async fn a_listener_reports_a_lost_connection() {
    let fleet = Fleet::new().await;
    let mut listener = fleet.pool.listen().await.unwrap();
    send(&fleet, cancelled(1)).await;
    assert_eq!(next(&mut listener).await, cancelled(1));
    let sql = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
               WHERE datname = current_database() AND query LIKE 'LISTEN %'";
    let row = fleet.client.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    for _ in 0..3 {
        let error = within_deadline(listener.next()).await.unwrap_err();
        assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    }
    let mut again = fleet.pool.listen().await.unwrap();
    send(&fleet, Notification::Work).await;
    assert_eq!(next(&mut again).await, Notification::Work);
}

#[tokio::test]
async fn listening_to_an_unavailable_database_fails() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://sovd@{}/x", socket.local_addr().unwrap());
    drop(socket);
    let settings = PoolSettings {
        size: 1,
        overflow: 0,
        checkout_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(30),
    };
    let error = within_deadline(Database::new(&url, settings).listen())
        .await
        .err();
    assert!(
        matches!(error, Some(StorageError::Unavailable(_))),
        "{error:?}"
    );
}

/// A connection's driver lives where the connection was opened, which must be where the pool is.
#[tokio::test]
async fn a_listener_outlives_the_runtime_that_asked_for_it() {
    let fleet = Fleet::new().await;
    let pool = fleet.pool.clone();
    let listening = spawn_blocking(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(pool.listen()).unwrap()
    });
    let mut listener = listening.await.unwrap();
    send(&fleet, Notification::Work).await;
    assert_eq!(next(&mut listener).await, Notification::Work);
}
