use std::{
    fs,
    io::{self, BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::{Value, json};
use sovd_devstack::TestDatabase;

/// The release build in a process of its own.
pub(crate) struct Server {
    child: Child,
    address: String,
    http: reqwest::Client,
}

impl Server {
    pub(crate) fn start(database: &TestDatabase, redis_url: &str, seal_ms: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sovd-api-server"))
            .env_clear()
            .env("DATABASE_URL", database.url())
            .env("REDIS_URL", redis_url)
            .env("SOVD__SERVER__PORT", "0")
            .env("SOVD__LOG__FORMAT", "json")
            .env("SOVD__AUDIT__SEAL_MS", seal_ms)
            .env("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", "0")
            .env("SOVD__CONNECTOR__MOCK__MAX_DELAY_MS", "0")
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let address = listening_at(&mut child);
        Self {
            child,
            address,
            http: reqwest::Client::new(),
        }
    }

    /// Gives an access token.
    pub(crate) async fn log_in(&self, username: &str) -> String {
        let body = json!({ "username": username, "password": format!("{username}123") });
        let url = format!("http://{}/api/v1/auth/login", self.address);
        let response = self.http.post(url).json(&body).send().await.unwrap();
        let tokens: Value = response.error_for_status().unwrap().json().await.unwrap();
        let token = tokens.get("access_token").unwrap();
        token.as_str().unwrap().to_owned()
    }

    pub(crate) async fn submit(&self, token: &str, vehicle_id: &str) {
        let body = json!({
            "vehicle_id": vehicle_id, "command_name": "ReadDTC",
            "command_params": { "ecuAddress": "0x10" },
        });
        let url = format!("http://{}/api/v1/commands", self.address);
        let request = self.http.post(url).bearer_auth(token).json(&body);
        let response = request.send().await.unwrap();
        response.error_for_status().unwrap().bytes().await.unwrap();
    }

    /// Reads an export to its end; gives its lines and its bytes.
    pub(crate) async fn export(&self, token: &str, query: &str) -> (usize, usize) {
        let url = format!("http://{}/api/v1/audit-logs/export?{query}", self.address);
        let request = self.http.get(url).bearer_auth(token);
        let mut response = request.send().await.unwrap().error_for_status().unwrap();
        let (mut lines, mut bytes) = (0, 0);
        while let Some(chunk) = response.chunk().await.unwrap() {
            lines += chunk.split(|byte| *byte == b'\n').count() - 1;
            bytes += chunk.len();
        }
        (lines, bytes)
    }

    /// In bytes, as Linux counts it.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// At its largest since [`Server::forget_peak`], in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the log up to the address, and from then on only so that the server never waits.
fn listening_at(child: &mut Child) -> String {
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"message\":\"listening\"") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended");
    }
    thread::spawn(move || io::copy(&mut log, &mut io::sink()));
    let (_, rest) = line.split_once("\"address\":\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}
