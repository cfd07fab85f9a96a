//! The server in the environment `production`, on a real database.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::process::Stdio;

use reqwest::{Client, Response, header::HeaderMap};
use serde_json::{Value, json};
use server::{Running, server};
use sovd_app::{Settings, migrate::Migrator};
use sovd_devstack::{Stack, TestDatabase, within};
use tokio::process::Command;

/// 32 random bytes in hexadecimal.
const SECRET: &str = "9d0c6a4be1f27738c5ad42f19be07d36a1f5c8420e937bd6417f2c0a85e3b964";

const PASSWORD: &str = "engineer123";

async fn seeded() -> TestDatabase {
    let stack = Stack::shared().unwrap();
    let prepare = async |url: &str| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let migrator = Migrator::new(&Settings::for_tests(url, None));
        migrator.up().await?;
        migrator.seed(false).await?;
        Ok(())
    };
    stack.test_database("production", prepare).await.unwrap()
}

/// Returns the command that starts a server in production.
fn production(database_url: &str) -> Command {
    let mut command = server();
    command
        .env("SOVD_ENVIRONMENT", "production")
        .env("DATABASE_URL", database_url)
        .env("JWT_SECRET", SECRET);
    command
}

struct Api {
    http: Client,
    base: String,
    token: Option<String>,
}

impl Api {
    async fn get(&self, path: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.base));
        let request = request.header("Origin", "https://elsewhere.example");
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap()
    }
}

#[track_caller]
fn assert_hardened(headers: &HeaderMap, path: &str) {
    for (name, value) in [
        ("strict-transport-security", "max-age=31536000"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(headers[name], value, "{path}: {name}");
    }
    assert!(headers.contains_key("content-security-policy"), "{path}");
    for name in [
        "set-cookie",
        "server",
        "x-powered-by",
        "access-control-allow-origin",
        "access-control-allow-credentials",
    ] {
        assert!(!headers.contains_key(name), "{path}: {name}");
    }
}

#[tokio::test]
async fn serves_with_hardened_headers_limits_and_a_clean_log() {
    let database = seeded().await;
    let running = Running::start(&mut production(database.url())).await;
    let mut api = Api {
        http: Client::new(),
        base: format!("http://{}", running.address),
        token: None,
    };
    let login = "/api/v1/auth/login";
    let body = json!({ "username": "engineer", "password": PASSWORD });
    let reply = api.post(login, &body).await;
    assert_eq!(reply.status(), 200);
    assert_hardened(reply.headers(), login);
    assert_eq!(reply.headers()["cache-control"], "no-store");
    let tokens: Value = serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap();
    api.token = tokens["access_token"].as_str().map(str::to_owned);
    for (path, status) in [
        ("/api/v1/vehicles", 200),
        ("/api/v1/users", 403),
        ("/api/v1/vehicles/00000000-0000-0000-0000-00000000ffff", 404),
        ("/nothing", 404),
        ("/health/ready", 200),
        ("/openapi.json", 200),
        ("/docs/", 200),
    ] {
        let reply = api.get(path).await;
        assert_eq!(reply.status(), status, "{path}");
        assert_hardened(reply.headers(), path);
    }

    let command = json!({
        "vehicle_id": "00000000-0000-0000-0000-000000000102", "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    let mut accepted = 0;
    let refused = loop {
        let reply = api.post("/api/v1/commands", &command).await;
        if reply.status() != 201 {
            break reply;
        }
        accepted += 1;
        assert!(accepted < 1000, "commands are not limited");
    };
    // The limit admits two more per second.
    assert!(accepted >= 120, "{accepted}");
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_hardened(refused.headers(), "/api/v1/commands");

    running.signal("TERM").await;
    let (code, log) = running.ended().await;
    assert_eq!(code, Some(0), "{log}");
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        assert!(entry["level"].is_string(), "{line}");
    }
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    for secret in [
        SECRET,
        PASSWORD,
        api.token.as_deref().unwrap(),
        refresh_token,
    ] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn shows_its_configuration_without_a_secret() {
    let url = "postgres://sovd:hunter2@127.0.0.1:1/sovd";
    let output = production(url)
        .arg("--check-config")
        .env("REDIS_URL", "redis://:hunter3@127.0.0.1:1/0")
        .env("JWT_PREVIOUS_SECRET", SECRET.replace('9', "8"))
        .stdin(Stdio::null())
        .output();
    let output = within("the server to end", output).await.unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    for (key, value) in [
        ("environment", "production"),
        ("log.format", "json"),
        ("server.hsts_seconds", "31536000"),
        ("limits.commands_per_minute", "120"),
        ("limits.requests_per_minute", "1200"),
    ] {
        let mut lines = shown.lines();
        let line = lines.find(|line| line.split_whitespace().next() == Some(key));
        let line = line.unwrap_or_default();
        assert!(line.contains(value), "{key}: {line:?} in {shown}");
    }
    for secret in ["hunter2", "hunter3", SECRET, &SECRET.replace('9', "8")] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn rejects_settings_for_development() {
    let url = "postgres://sovd@127.0.0.1:1/sovd";
    for (name, value, key) in [
        (
            "JWT_SECRET",
            "sample-token-key-change-me-before-production",
            "auth.jwt_secret",
        ),
        ("JWT_SECRET", "", "auth.jwt_secret"),
        (
            "JWT_PREVIOUS_SECRET",
            "sample-token-key-change-me-before-production",
            "auth.jwt_previous_secret",
        ),
        (
            "DATABASE_URL",
            "postgres://sovd:change-me@127.0.0.1:1/sovd",
            "database.url",
        ),
        ("REDIS_URL", "redis://:change-me@127.0.0.1:1/0", "redis.url"),
        ("CORS_ORIGINS", "*", "server.cors_origins"),
        ("SOVD__AUTH__BCRYPT_COST", "9", "auth.bcrypt_cost"),
    ] {
        let output = production(url).env(name, value).output();
        let output = within("the server to end", output).await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.contains(key), "{name}: {complaint}");
        assert!(!complaint.contains("change-me"), "{name}: {complaint}");
    }
}
