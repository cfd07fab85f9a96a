//! Servers end with the process that started them, even if it is killed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wait;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tokio_postgres::NoTls;

use wait::{is_open, wait_until};

struct Up {
    process: Child,
    database_url: String,
    ports: Vec<u16>,
}

/// Starts `devstack up` and reads the two URLs it prints.
fn up() -> Up {
    let mut process = Command::new(env!("CARGO_BIN_EXE_sovd-devstack"))
        .arg("up")
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut url = |name| lines.next().unwrap().strip_prefix(name).unwrap().to_owned();
    let (database_url, redis_url) = (url("DATABASE_URL="), url("REDIS_URL="));
    let ports = vec![port(&database_url), port(&redis_url)];
    Up {
        process,
        database_url,
        ports,
    }
}

fn port(url: &str) -> u16 {
    let (_, tail) = url.rsplit_once(':').unwrap();
    tail.split('/').next().unwrap().parse().unwrap()
}

async fn instance_directory(url: &str) -> PathBuf {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let row = client.query_one("SHOW data_directory", &[]).await.unwrap();
    PathBuf::from(row.get::<_, String>(0))
        .parent()
        .unwrap()
        .to_path_buf()
}

async fn servers_and_data_are_removed_after(signal: &str) {
    let mut up = up();
    let directory = instance_directory(&up.database_url).await;
    assert!(up.ports.iter().all(|&port| is_open(port)));

    let pid = up.process.id().to_string();
    let killed = Command::new("sh")
        .args(["-c", r#"kill -"$1" "$2""#, "kill", signal, &pid])
        .status();
    assert!(killed.unwrap().success());
    up.process.wait().unwrap();
    wait_until("the ports are closed", || {
        !up.ports.iter().any(|&port| is_open(port))
    });
    wait_until("the data is removed", || !directory.exists());
}

#[tokio::test]
async fn sigkill_removes_servers_and_data() {
    servers_and_data_are_removed_after("KILL").await;
}

#[tokio::test]
async fn sigterm_removes_servers_and_data() {
    servers_and_data_are_removed_after("TERM").await;
}
