use std::fs;

use serde_json::{Value, json};
use sovd_devstack::TestDatabase;

use crate::process::Process;

/// A server in a separate process.
pub(crate) struct Server {
    process: Process,
    address: String,
    http: reqwest::Client,
}

impl Server {
    pub(crate) fn start(database: &TestDatabase, redis_url: &str, seal_ms: &str) -> Self {
        let settings = [
            ("SOVD__AUDIT__SEAL_MS", seal_ms),
            ("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", "0"),
            ("SOVD__CONNECTOR__MOCK__MAX_DELAY_MS", "0"),
        ];
        let process = Process::start(database.url(), redis_url, &settings);
        Self {
            address: process.address().to_owned(),
            process,
            http: reqwest::Client::new(),
        }
    }

    /// Logs in and returns the access token.
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

    /// Reads an export and returns the number of its lines and bytes.
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

    /// Returns the resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.process.status_kib("VmRSS:") * 1024
    }

    /// Returns the peak resident memory since [`Server::reset_peak`] in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.process.status_kib("VmHWM:") * 1024
    }

    pub(crate) fn reset_peak(&self) {
        fs::write(self.process.proc_path("clear_refs"), "5").unwrap();
    }
}
