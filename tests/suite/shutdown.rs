use std::time::Duration;

use sovd_tests::{World, within};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_postgres::Client;
use tokio_tungstenite::tungstenite::Message;

/// Waits until `condition`, a query that returns a boolean, is true.
async fn wait_until(sql: &Client, condition: &str) {
    within(condition, async {
        while !sql
            .query_one(condition, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn closes_websockets_with_1001() {
    let world = World::with(|settings| settings.connector.mock.hang = true).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut socket = engineer.open(&id).await;
    assert_eq!(socket.next().await.unwrap()["status"], "in_progress");
    world.stop();
    let (events, closing) = socket.rest().await;
    assert!(events.is_empty());
    assert_eq!(closing.code, 1001, "{closing:?}");
    world.stopped().await.unwrap();
}

#[tokio::test]
async fn accepts_no_connection_after_shutdown() {
    let world = World::start().await;
    let address = world.address();
    world.stop();
    world.stopped().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn releases_a_running_command() {
    let world = World::with(|settings| {
        settings.connector.mock.hang = true;
        settings.server.shutdown_seconds = 3;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut socket = engineer.open(&id).await;
    socket.next().await.unwrap();
    let sql = world.sql().await;
    world.stop();
    // The database is dropped with the world, so query it while the server stops.
    let released = "SELECT EXISTS (SELECT FROM command_queue WHERE lease_id IS NULL)";
    wait_until(&sql, released).await;
    world.stopped().await.unwrap();
}

#[tokio::test]
async fn completes_a_command_that_ends_in_time() {
    let world = World::with(|settings| {
        settings.connector.mock.min_delay_ms = 300;
        settings.connector.mock.max_delay_ms = 300;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut socket = engineer.open(&id).await;
    socket.next().await.unwrap();
    let sql = world.sql().await;
    world.stop();
    let completed = "SELECT EXISTS (SELECT FROM commands WHERE status = 'completed')";
    wait_until(&sql, completed).await;
    world.stopped().await.unwrap();
}

#[tokio::test]
async fn does_not_wait_for_a_peer_that_never_reads() {
    let world = World::with(|settings| settings.connector.mock.hang = true).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut socket = engineer.open(&id).await;
    // Until the pongs fill every buffer and the server waits for this peer.
    let flood = async {
        loop {
            socket.send(Message::Ping(vec![0; 125].into())).await;
        }
    };
    let _ = timeout(Duration::from_secs(2), flood).await;
    let stopped_at = Instant::now();
    world.stop();
    world.stopped().await.unwrap();
    assert!(
        stopped_at.elapsed() < Duration::from_secs(10),
        "{:?}",
        stopped_at.elapsed()
    );
}

#[tokio::test]
async fn seals_all_audit_entries() {
    let world = World::with(|settings| settings.audit.seal_ms = 60_000).await;
    let sql = world.sql().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    engineer.ended(&id).await;
    let unsealed = "SELECT count(*) FROM audit_logs WHERE position IS NULL";
    let before: i64 = sql.query_one(unsealed, &[]).await.unwrap().get(0);
    assert!(before > 0);
    let _database = world.stop_and_keep_database().await;
    let after: i64 = sql.query_one(unsealed, &[]).await.unwrap().get(0);
    assert_eq!(after, 0);
}
