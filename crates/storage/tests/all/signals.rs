use std::{net::TcpListener, time::Duration};

use futures_util::FutureExt;
use sovd_storage::{
    Database, PoolSettings, StorageError,
    signals::{self, Listener, Signal},
};
use tokio::{runtime::Builder, task::spawn_blocking};
use uuid::Uuid;

use crate::{fixture::Fleet, waiting::in_time};

fn called_off(number: u128) -> Signal {
    Signal::CalledOff(Uuid::from_u128(number))
}

async fn send(fleet: &Fleet, signal: Signal) {
    signals::send(&mut *fleet.connection().await, signal)
        .await
        .unwrap();
}

async fn next(listener: &mut Listener) -> Signal {
    in_time(listener.next()).await.unwrap()
}

#[tokio::test]
async fn everybody_hears_every_signal_in_order() {
    let fleet = Fleet::new().await;
    let mut listeners = [
        fleet.pool.listen().await.unwrap(),
        fleet.pool.listen().await.unwrap(),
    ];
    let said = [called_off(7), Signal::Work, called_off(8), Signal::Work];
    for signal in said {
        send(&fleet, signal).await;
    }
    for listener in &mut listeners {
        for signal in said {
            assert_eq!(next(listener).await, signal);
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
async fn a_signal_goes_out_with_the_commit() {
    let fleet = Fleet::new().await;
    let mut listener = fleet.pool.listen().await.unwrap();
    let mut transaction = fleet.pool.begin().await.unwrap();
    signals::send(&mut transaction, called_off(1))
        .await
        .unwrap();
    send(&fleet, called_off(2)).await;
    assert_eq!(next(&mut listener).await, called_off(2));
    transaction.commit().await.unwrap();
    assert_eq!(next(&mut listener).await, called_off(1));
}

#[tokio::test]
async fn a_signal_that_is_rolled_back_is_not_heard() {
    let fleet = Fleet::new().await;
    let mut listener = fleet.pool.listen().await.unwrap();
    let mut transaction = fleet.pool.begin().await.unwrap();
    signals::send(&mut transaction, called_off(1))
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    send(&fleet, called_off(2)).await;
    assert_eq!(next(&mut listener).await, called_off(2));
}

/// A later version may know more.
#[tokio::test]
async fn unknown_words_are_passed_over() {
    let fleet = Fleet::new().await;
    let mut listener = fleet.pool.listen().await.unwrap();
    for word in ["restart", "", "Work", "called_off", "called_off nobody"] {
        let sql = "SELECT pg_notify('sovd_queue', $1)";
        fleet.client.execute(sql, &[&word]).await.unwrap();
    }
    send(&fleet, Signal::Work).await;
    assert_eq!(next(&mut listener).await, Signal::Work);
    send(&fleet, called_off(1)).await;
    assert_eq!(next(&mut listener).await, called_off(1));
}

/// A dispatcher does other things between.
#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let fleet = Fleet::new().await;
    let mut listener = fleet.pool.listen().await.unwrap();
    for number in 0..5 {
        assert!(listener.next().now_or_never().is_none());
        send(&fleet, called_off(number)).await;
        assert_eq!(next(&mut listener).await, called_off(number));
    }
}

#[tokio::test]
async fn a_listener_whose_connection_is_ended_says_so() {
    let fleet = Fleet::new().await;
    let mut listener = fleet.pool.listen().await.unwrap();
    send(&fleet, called_off(1)).await;
    assert_eq!(next(&mut listener).await, called_off(1));
    let sql = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
               WHERE datname = current_database() AND query LIKE 'LISTEN %'";
    let row = fleet.client.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    for _ in 0..3 {
        let error = in_time(listener.next()).await.unwrap_err();
        assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    }
    let mut again = fleet.pool.listen().await.unwrap();
    send(&fleet, Signal::Work).await;
    assert_eq!(next(&mut again).await, Signal::Work);
}

#[tokio::test]
async fn nobody_can_listen_to_a_database_that_is_away() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://sovd@{}/x", socket.local_addr().unwrap());
    drop(socket);
    let settings = PoolSettings {
        size: 1,
        overflow: 0,
        checkout_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(30),
    };
    let error = in_time(Database::new(&url, settings).listen()).await.err();
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
    send(&fleet, Signal::Work).await;
    assert_eq!(next(&mut listener).await, Signal::Work);
}
