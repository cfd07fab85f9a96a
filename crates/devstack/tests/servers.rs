//! Start, stop, restart and pause of single servers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wait;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use sovd_devstack::{Postgres, Redis, SearchPath, StackError};
use tokio_postgres::{Client, NoTls};

use wait::{is_open, wait_until};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn redis_reply(redis: &Redis, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .unwrap();
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap().unwrap();
    if first.starts_with('$') {
        lines.next().unwrap().unwrap()
    } else {
        first
    }
}

#[tokio::test]
async fn dropping_postgres_ends_it_and_removes_its_data() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let client = connect(&postgres.url()).await;
    let row = client.query_one("SHOW data_directory", &[]).await.unwrap();
    let data = std::path::PathBuf::from(row.get::<_, String>(0));
    assert!(data.parent().unwrap().exists());

    let port = postgres.port();
    drop(postgres);
    assert!(!is_open(port));
    assert!(!data.parent().unwrap().exists());
}

#[tokio::test]
async fn postgres_keeps_data_and_port_across_a_restart() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let (url, port) = (postgres.url(), postgres.port());
    let client = connect(&url).await;
    client
        .batch_execute("CREATE TABLE kept AS SELECT 7 AS seven")
        .await
        .unwrap();

    postgres.stop().unwrap();
    assert!(!is_open(port));
    assert!(matches!(
        postgres.stop(),
        Err(StackError::WrongState { .. })
    ));

    postgres.start_again().unwrap();
    assert_eq!(postgres.url(), url);
    let row = connect(&url)
        .await
        .query_one("SELECT seven FROM kept", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i32>(0), 7);
    assert!(matches!(
        postgres.start_again(),
        Err(StackError::WrongState { .. })
    ));
}

#[tokio::test]
async fn a_resumed_postgres_accepts_connections() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    postgres.pause().unwrap();
    let url = postgres.url();
    let connecting = tokio::spawn(async move { connect(&url).await });
    postgres.resume().unwrap();
    connecting
        .await
        .unwrap()
        .query_one("SELECT 1", &[])
        .await
        .unwrap();

    postgres.pause().unwrap();
    postgres.stop().unwrap();
}

#[test]
fn dropping_redis_ends_it() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    assert_eq!(redis_reply(&redis, "PING"), "+PONG");
    let port = redis.port();
    drop(redis);
    assert!(!is_open(port));
}

#[test]
fn redis_keeps_keys_and_port_across_a_restart() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let port = redis.port();
    redis_reply(&redis, "SET kept seven");
    redis.stop().unwrap();
    assert!(!is_open(port));
    redis.start_again().unwrap();
    assert_eq!(redis.port(), port);
    assert_eq!(redis_reply(&redis, "GET kept"), "seven");
}

#[test]
fn dropping_a_paused_redis_ends_it() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let port = redis.port();
    redis.pause().unwrap();
    drop(redis);
    wait_until("the port is closed", || !is_open(port));
}
