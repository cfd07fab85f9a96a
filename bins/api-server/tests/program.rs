//! The server as its operator meets it: exit codes, signals, words.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::{
    fs,
    net::TcpListener,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use server::{PATIENCE, Running, SECRET, server};
use sovd_app::{Settings, migrate::Migrator};
use sovd_devstack::{Stack, TestDatabase};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
    time::timeout,
};

async fn migrated() -> TestDatabase {
    let stack = Stack::shared().unwrap();
    let migrate = async |url: &str| {
        Migrator::new(&Settings::for_tests(url, None))
            .up()
            .await
            .map(|_| ())
    };
    stack.test_database("migrated", migrate).await.unwrap()
}

/// A failed start: its one complaint.
async fn complaint(command: &mut Command) -> String {
    let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.starts_with("api-server: "), "{complaint}");
    complaint
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

async fn get(running: &Running, path: &str) -> reqwest::Result<reqwest::Response> {
    let answer = reqwest::get(format!("http://{}{path}", running.address));
    timeout(PATIENCE, answer).await.unwrap()
}

#[tokio::test]
async fn both_signals_stop_it_in_time() {
    let database = migrated().await;
    for signal in ["TERM", "INT"] {
        let running = Running::start(server().env("DATABASE_URL", database.url())).await;
        assert_eq!(get(&running, "/health/ready").await.unwrap().status(), 200);
        let asked = Instant::now();
        running.signal(signal).await;
        let (code, log) = running.ended().await;
        assert_eq!(code, Some(0), "{log}");
        assert!(asked.elapsed() < Duration::from_secs(10));
        assert!(log.contains("\"message\":\"stopped\""), "{log}");
    }
}

#[tokio::test]
async fn a_token_in_a_url_is_never_logged() {
    let database = migrated().await;
    let mut command = server();
    let command = command
        .env("DATABASE_URL", database.url())
        .env("LOG_LEVEL", "trace");
    let running = Running::start(command).await;
    let id = "00000000-0000-0000-0000-000000000001";
    get(&running, &format!("/ws/responses/{id}?token=hunter2"))
        .await
        .unwrap();
    get(&running, "/api/v1/vehicles?token=hunter2")
        .await
        .unwrap();
    running.signal("TERM").await;
    let (_, log) = running.ended().await;
    let ours: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("\"target\":\"sovd_"))
        .collect();
    assert!(ours.iter().any(|line| line.contains(id)), "{log}");
    assert!(!ours.iter().any(|line| line.contains("hunter2")));
    assert!(!log.contains(SECRET));
}

/// What a server logs while it gets `count` malformed requests, one a connection.
async fn log_of_malformed_requests(level: &str, count: usize) -> String {
    let database = migrated().await;
    let mut command = server();
    let command = command.env("DATABASE_URL", database.url());
    let running = Running::start(command.env("LOG_LEVEL", level)).await;
    for _ in 0..count {
        let mut stream = TcpStream::connect(&running.address).await.unwrap();
        stream.write_all(b"GET / HTTP/9.9\r\n\r\n").await.unwrap();
        let mut response = Vec::new();
        let reading = stream.read_to_end(&mut response);
        timeout(PATIENCE, reading).await.unwrap().unwrap();
        assert!(response.starts_with(b"HTTP/1.1 400 "), "{response:?}");
    }
    running.signal("TERM").await;
    let (code, log) = running.ended().await;
    assert_eq!(code, Some(0), "{log}");
    log
}

#[tokio::test]
async fn malformed_requests_do_not_fill_the_log() {
    let log = log_of_malformed_requests("info", 50).await;
    assert!(!log.contains("\"level\":\"ERROR\""), "{log}");
    assert!(!log.contains("connection broken"), "{log}");

    let log = log_of_malformed_requests("info,sovd_api=debug", 50).await;
    let records = log.matches("connection broken").count();
    // At most one a second.
    assert!((1..50).contains(&records), "{records} records in {log}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let database = migrated().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = server();
    let command = command
        .env("DATABASE_URL", database.url())
        .env("SOVD__SERVER__PORT", &port);
    let complaint = complaint(command).await;
    assert!(complaint.contains("server.port"), "{complaint}");
    assert!(complaint.contains(&port), "{complaint}");
}

#[tokio::test]
async fn pending_migrations_are_named_with_the_command_that_helps() {
    let database = Stack::shared().unwrap().empty_database().await.unwrap();
    let complaint = complaint(server().env("DATABASE_URL", database.url())).await;
    assert!(
        complaint.contains("00000000000001_command_execution"),
        "{complaint}"
    );
    assert!(complaint.contains("migrate up"), "{complaint}");
}

#[tokio::test]
async fn a_database_that_is_away_is_waited_for_and_then_named() {
    let url = "postgres://sovd:hunter2@127.0.0.1:1/sovd";
    let mut command = server();
    let command = command
        .env("DATABASE_URL", url)
        .env("SOVD__DATABASE__WAIT_SECONDS", "1");
    let asked = Instant::now();
    let complaint = complaint(command).await;
    assert!(
        asked.elapsed() >= Duration::from_millis(500),
        "it did not wait"
    );
    assert!(
        complaint.contains("did not answer within 1 s"),
        "{complaint}"
    );
    assert!(complaint.contains("127.0.0.1:1"), "{complaint}");
    assert!(!complaint.contains("hunter2"), "{complaint}");
}

#[tokio::test]
async fn a_signal_ends_the_wait_for_the_database() {
    let mut child = server()
        .env("DATABASE_URL", "postgres://sovd@127.0.0.1:1/sovd")
        .env("SOVD__DATABASE__WAIT_SECONDS", "3600")
        .env("SOVD__LOG__FORMAT", "json")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = timeout(PATIENCE, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(told.contains("waiting for the database"), "{told}");
    let id = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .arg(id)
            .status()
            .await
            .unwrap()
            .success()
    );
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn bad_settings_are_named_with_their_source() {
    let url = "postgres://sovd@127.0.0.1:1/sovd";
    for (name, value, parts) in [
        (
            "SOVD__SERVER__PORT",
            "http",
            ["server.port", "SOVD__SERVER__PORT", "65535"],
        ),
        ("SOVD__SERVER__PROT", "1", ["SOVD__SERVER__PROT", "", ""]),
        (
            "DATABASE_URL",
            "mysql://localhost",
            ["database.url", "DATABASE_URL", "postgres://"],
        ),
        (
            "REDIS_URL",
            "localhost",
            ["redis.url", "REDIS_URL", "redis://"],
        ),
        ("LOG_LEVEL", "loud", ["log.level", "LOG_LEVEL", "debug"]),
        ("JWT_SECRET_FILE", "/nowhere", ["JWT_SECRET", "", ""]),
    ] {
        let complaint = complaint(server().env("DATABASE_URL", url).env(name, value)).await;
        for part in parts {
            assert!(
                complaint.contains(part),
                "{name}: {part:?} is missing: {complaint}"
            );
        }
        assert!(!complaint.contains(SECRET));
    }
}

#[tokio::test]
async fn an_unreadable_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("default.toml"),
        "[server]\nport = = 1\n",
    )
    .unwrap();
    let mut command = server();
    let command = command
        .env("DATABASE_URL", "postgres://sovd@127.0.0.1:1/sovd")
        .env("SOVD_CONFIG_DIR", directory.path());
    let complaint = complaint(command).await;
    assert!(complaint.contains("default.toml"), "{complaint}");
    std::fs::write(
        directory.path().join("default.toml"),
        "[server]\nprot = 1\n",
    )
    .unwrap();
    let complaint = self::complaint(command).await;
    assert!(complaint.contains("server.prot"), "{complaint}");
}

#[tokio::test]
async fn production_refuses_a_sample_or_short_secret() {
    for secret in [
        "sample-token-key-change-me-before-production",
        "0123456789abcdef0123456789abcde",
    ] {
        let mut command = server();
        let command = command
            .env("DATABASE_URL", "postgres://sovd@127.0.0.1:1/sovd")
            .env("SOVD_ENVIRONMENT", "production")
            .env("JWT_SECRET", secret);
        let complaint = complaint(command).await;
        assert!(complaint.contains("auth.jwt_secret"), "{complaint}");
        assert!(!complaint.contains(secret), "{complaint}");
    }
}

#[tokio::test]
async fn a_token_key_of_another_kind_is_named_before_anything_is_waited_for() {
    let pem = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----";
    let mut command = server();
    let command = command
        .env("DATABASE_URL", "postgres://sovd@127.0.0.1:1/sovd")
        .env("JWT_ALGORITHM", "RS256");
    let missing = complaint(command).await;
    assert!(
        missing.contains("auth.jwt_private_key is not set: set JWT_PRIVATE_KEY"),
        "{missing}"
    );
    for argument in [None, Some("--check-config")] {
        let complaint = complaint(command.env("JWT_PRIVATE_KEY", pem).args(argument)).await;
        assert!(
            complaint.contains("auth.jwt_private_key: expected an RSA private key of 2048"),
            "{complaint}"
        );
        assert!(!complaint.contains("hunter2"), "{complaint}");
    }
}

#[tokio::test]
async fn what_no_agent_can_be_allowed_is_named_before_anything_is_waited_for() {
    for argument in [None, Some("--check-config")] {
        let mut command = server();
        let command = command
            .env("DATABASE_URL", "postgres://sovd@127.0.0.1:1/sovd")
            .env("SOVD__AGENTS__ALLOW", "monitor:vehicles.read")
            .args(argument);
        let complaint = complaint(command).await;
        assert!(
            complaint.contains("agents.allow: \"monitor:vehicles.read\" names a permission that")
                && complaint.contains("commands.submit"),
            "{complaint}"
        );
    }
}

#[tokio::test]
async fn wrong_rules_for_anomalies_are_named_before_anything_is_waited_for() {
    let file = NamedTempFile::new().unwrap();
    fs::write(
        file.path(),
        "[[rule]]\nname = \"catalyst\"\npatterns = [\"P042\"]",
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    for argument in [None, Some("--check-config")] {
        let mut command = server();
        let command = command
            .env("DATABASE_URL", "postgres://sovd@127.0.0.1:1/sovd")
            .args(argument);
        let wrong = complaint(command.env("SOVD__MAINTENANCE__ANOMALY_RULES", path)).await;
        for expected in [
            &format!("maintenance.anomaly_rules: {path}: rule \"catalyst\", patterns: pattern 1"),
            "rule \"catalyst\", severity: expected one of Low, Medium, High, Critical",
        ] {
            assert!(wrong.contains(expected), "{wrong}");
        }
        let away = complaint(command.env("SOVD__MAINTENANCE__ANOMALY_RULES", "/nowhere")).await;
        let expected = "maintenance.anomaly_rules: /nowhere cannot be read";
        assert!(away.contains(expected), "{away}");
    }
}

#[tokio::test]
async fn check_config_shows_values_and_sources_but_no_secret() {
    let output = server()
        .arg("--check-config")
        .env(
            "DATABASE_URL",
            "postgres://sovd:hunter2@db.example.com/sovd",
        )
        .env("SOVD__CONNECTOR__MOCK__CHUNKS", "7")
        .output()
        .await
        .unwrap();
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let line = |key: &str| {
        let mut lines = shown.lines();
        lines
            .find(|line| line.split_whitespace().next() == Some(key))
            .unwrap()
            .to_owned()
    };
    let chunks = line("connector.mock.chunks");
    assert!(
        chunks.contains('7') && chunks.contains("SOVD__CONNECTOR__MOCK__CHUNKS"),
        "{chunks}"
    );
    assert!(line("database.url").contains("db.example.com"), "{shown}");
    assert!(line("database.pool_size").contains("20"), "{shown}");
    assert!(
        !shown.contains("hunter2") && !shown.contains(SECRET),
        "{shown}"
    );
}
