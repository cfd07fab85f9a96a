//! Exit codes, signals and messages of the server.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::{
    fs,
    net::TcpListener,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use server::{Running, SECRET, server};
use sovd_app::{Settings, migrate::Migrator};
use sovd_devstack::{Stack, TestDatabase, within};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
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

/// Asserts that a start fails and returns its error message.
async fn start_error(command: &mut Command) -> String {
    let output = within("the server to end", command.output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("api-server: "), "{error}");
    error
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

async fn get(running: &Running, path: &str) -> reqwest::Result<reqwest::Response> {
    let response = reqwest::get(format!("http://{}{path}", running.address));
    within("a response", response).await
}

#[tokio::test]
async fn stops_on_sigterm_and_sigint() {
    let database = migrated().await;
    for signal in ["TERM", "INT"] {
        let running = Running::start(server().env("DATABASE_URL", database.url())).await;
        assert_eq!(get(&running, "/health/ready").await.unwrap().status(), 200);
        let started = Instant::now();
        running.signal(signal).await;
        let (code, log) = running.ended().await;
        assert_eq!(code, Some(0), "{log}");
        assert!(started.elapsed() < Duration::from_secs(10));
        assert!(log.contains("\"message\":\"stopped\""), "{log}");
    }
}

#[tokio::test]
async fn never_logs_a_token_in_a_url() {
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
    let records: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("\"target\":\"sovd_"))
        .collect();
    assert!(records.iter().any(|line| line.contains(id)), "{log}");
    assert!(!records.iter().any(|line| line.contains("hunter2")));
    assert!(!log.contains(SECRET));
}

/// Returns the log of a server that receives `count` malformed requests on separate connections.
async fn log_of_malformed_requests(level: &str, count: usize) -> String {
    let database = migrated().await;
    let mut command = server();
    let command = command.env("DATABASE_URL", database.url());
    let running = Running::start(command.env("LOG_LEVEL", level)).await;
    for _ in 0..count {
        let mut stream = TcpStream::connect(&running.address).await.unwrap();
        stream.write_all(b"GET / HTTP/9.9\r\n\r\n").await.unwrap();
        let mut response = Vec::new();
        let end = stream.read_to_end(&mut response);
        within("the end of the response", end).await.unwrap();
        assert!(response.starts_with(b"HTTP/1.1 400 "), "{response:?}");
    }
    running.signal("TERM").await;
    let (code, log) = running.ended().await;
    assert_eq!(code, Some(0), "{log}");
    log
}

#[tokio::test]
async fn throttles_log_records_about_malformed_requests() {
    let log = log_of_malformed_requests("info", 50).await;
    assert!(!log.contains("\"level\":\"ERROR\""), "{log}");
    assert!(!log.contains("connection broken"), "{log}");

    let log = log_of_malformed_requests("info,sovd_api=debug", 50).await;
    let records = log.matches("connection broken").count();
    // At most one per second.
    assert!((1..50).contains(&records), "{records} records in {log}");
}

#[tokio::test]
async fn reports_a_port_in_use() {
    let database = migrated().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = server();
    let command = command
        .env("DATABASE_URL", database.url())
        .env("SOVD__SERVER__PORT", &port);
    let error = start_error(command).await;
    assert!(error.contains("server.port"), "{error}");
    assert!(error.contains(&port), "{error}");
}

#[tokio::test]
async fn reports_pending_migrations_and_the_command_to_apply_them() {
    let database = Stack::shared().unwrap().empty_database().await.unwrap();
    let error = start_error(server().env("DATABASE_URL", database.url())).await;
    assert!(
        error.contains("00000000000001_command_execution"),
        "{error}"
    );
    assert!(error.contains("migrate up"), "{error}");
}

#[tokio::test]
async fn waits_for_an_unavailable_database_and_reports_it() {
    let url = "postgres://sovd:hunter2@127.0.0.1:1/sovd";
    let mut command = server();
    let command = command
        .env("DATABASE_URL", url)
        .env("SOVD__DATABASE__WAIT_SECONDS", "1");
    let started = Instant::now();
    let error = start_error(command).await;
    assert!(
        started.elapsed() >= Duration::from_millis(500),
        "the server did not wait"
    );
    assert!(error.contains("did not answer within 1 s"), "{error}");
    assert!(error.contains("127.0.0.1:1"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_signal_interrupts_the_wait_for_the_database() {
    let mut child = server()
        .env("DATABASE_URL", "postgres://sovd@127.0.0.1:1/sovd")
        .env("SOVD__DATABASE__WAIT_SECONDS", "3600")
        .env("SOVD__LOG__FORMAT", "json")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = within("a log record", lines.next_line()).await;
    let line = line.unwrap().unwrap();
    assert!(line.contains("waiting for the database"), "{line}");
    let id = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .arg(id)
            .status()
            .await
            .unwrap()
            .success()
    );
    let status = within("the server to end", child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn reports_invalid_settings_with_their_source() {
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
        let error = start_error(server().env("DATABASE_URL", url).env(name, value)).await;
        for part in parts {
            assert!(error.contains(part), "{name}: {part:?} is missing: {error}");
        }
        assert!(!error.contains(SECRET));
    }
}

#[tokio::test]
async fn reports_an_invalid_file() {
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
    let error = start_error(command).await;
    assert!(error.contains("default.toml"), "{error}");
    std::fs::write(
        directory.path().join("default.toml"),
        "[server]\nprot = 1\n",
    )
    .unwrap();
    let error = start_error(command).await;
    assert!(error.contains("server.prot"), "{error}");
}

#[tokio::test]
async fn production_rejects_sample_and_short_secrets() {
    for secret in [
        "sample-token-key-change-me-before-production",
        "0123456789abcdef0123456789abcde",
    ] {
        let mut command = server();
        let command = command
            .env("DATABASE_URL", "postgres://sovd@127.0.0.1:1/sovd")
            .env("SOVD_ENVIRONMENT", "production")
            .env("JWT_SECRET", secret);
        let error = start_error(command).await;
        assert!(error.contains("auth.jwt_secret"), "{error}");
        assert!(!error.contains(secret), "{error}");
    }
}

#[tokio::test]
async fn reports_an_unsuitable_token_key_before_connecting() {
    let pem = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----";
    let mut command = server();
    let command = command
        .env("DATABASE_URL", "postgres://sovd@127.0.0.1:1/sovd")
        .env("JWT_ALGORITHM", "RS256");
    let missing = start_error(command).await;
    assert!(
        missing.contains("auth.jwt_private_key is not set: set JWT_PRIVATE_KEY"),
        "{missing}"
    );
    for argument in [None, Some("--check-config")] {
        let error = start_error(command.env("JWT_PRIVATE_KEY", pem).args(argument)).await;
        assert!(
            error.contains("auth.jwt_private_key: expected an RSA private key of 2048"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn reports_an_invalid_agent_policy_before_connecting() {
    for argument in [None, Some("--check-config")] {
        let mut command = server();
        let command = command
            .env("DATABASE_URL", "postgres://sovd@127.0.0.1:1/sovd")
            .env("SOVD__AGENTS__ALLOW", "monitor:vehicles.read")
            .args(argument);
        let error = start_error(command).await;
        assert!(
            error.contains("agents.allow: \"monitor:vehicles.read\" names a read-only permission")
                && error.contains("commands.submit"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn reports_invalid_anomaly_rules_before_connecting() {
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
        let invalid = start_error(command.env("SOVD__MAINTENANCE__ANOMALY_RULES", path)).await;
        for expected in [
            &format!("maintenance.anomaly_rules: {path}: rule \"catalyst\", patterns: pattern 1"),
            "rule \"catalyst\", severity: expected one of Low, Medium, High, Critical",
        ] {
            assert!(invalid.contains(expected), "{invalid}");
        }
        let missing =
            start_error(command.env("SOVD__MAINTENANCE__ANOMALY_RULES", "/nowhere")).await;
        let expected = "maintenance.anomaly_rules: /nowhere cannot be read";
        assert!(missing.contains(expected), "{missing}");
    }
}

#[tokio::test]
async fn check_config_prints_values_and_sources_without_secrets() {
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
