use std::time::Duration;

use sovd_tests::{World, within};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_postgres::Client;
use tokio_tungstenite::tungstenite::Message;

/// Asks the database until it says yes.
async fn until(sql: &Client, question: &str) {
    within(question, async {
        while !sql
            .query_one(question, &[])
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
async fn sockets_are_told_that_the_server_goes_away() {
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
async fn a_stopped_server_takes_no_connection() {
    let world = World::start().await;
    let address = world.address();
    world.stop();
    world.stopped().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_command_under_way_is_handed_back_at_shutdown() {
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
    // The database goes with the world, so it is asked while the server is still stopping.
    let released = "SELECT EXISTS (SELECT FROM command_queue WHERE lease_id IS NULL)";
    until(&sql, released).await;
    world.stopped().await.unwrap();
}

#[tokio::test]
async fn a_command_that_can_end_in_time_ends() {
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
    until(&sql, completed).await;
    world.stopped().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_never_reads_does_not_hold_the_server_up() {
    let world = World::with(|settings| settings.connector.mock.hang = true).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut socket = engineer.open(&id).await;
    // Until the answers fill every buffer in between and the server waits for this peer.
    let flood = async {
        loop {
            socket.send(Message::Ping(vec![0; 125].into())).await;
        }
    };
    let _ = timeout(Duration::from_secs(2), flood).await;
    let asked = Instant::now();
    world.stop();
    world.stopped().await.unwrap();
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn what_is_written_up_to_the_end_is_sealed() {
    let world = World::with(|settings| settings.audit.seal_ms = 60_000).await;
    let sql = world.sql().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    engineer.ended(&id).await;
    let waiting = "SELECT count(*) FROM audit_logs WHERE position IS NULL";
    let before: i64 = sql.query_one(waiting, &[]).await.unwrap().get(0);
    assert!(before > 0);
    let _database = world.stop_for_restart().await;
    let after: i64 = sql.query_one(waiting, &[]).await.unwrap().get(0);
    assert_eq!(after, 0);
}
