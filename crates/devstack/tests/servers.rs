//! One server at a time: start, stop, start again, pause.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wait;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use sovd_devstack::{Postgres, Redis, SearchPath, StackError};
use tokio_postgres::{Client, NoTls};

use wait::{is_open, until};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn ask_redis(redis: &Redis, command: &str) -> String {
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
async fn postgres_answers_until_it_is_dropped() {
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
async fn postgres_keeps_data_and_port_over_a_restart() {
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
async fn a_paused_postgres_goes_on_when_resumed() {
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
fn redis_answers_until_it_is_dropped() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    assert_eq!(ask_redis(&redis, "PING"), "+PONG");
    let port = redis.port();
    drop(redis);
    assert!(!is_open(port));
}

#[test]
fn redis_keeps_keys_and_port_over_a_restart() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let port = redis.port();
    ask_redis(&redis, "SET kept seven");
    redis.stop().unwrap();
    assert!(!is_open(port));
    redis.start_again().unwrap();
    assert_eq!(redis.port(), port);
    assert_eq!(ask_redis(&redis, "GET kept"), "seven");
}

#[test]
fn a_paused_redis_can_be_dropped() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let port = redis.port();
    redis.pause().unwrap();
    drop(redis);
    until("the port is closed", || !is_open(port));
}
