use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{USERS, process::Process};

/// The operations that each user performs in turn.
const ROUND: [Work; 6] = [
    Work::ReadVehicle,
    Work::ListVehicles,
    Work::Submit,
    Work::ReadCommand,
    Work::ReadVehicle,
    Work::ListCommands,
];

/// Users that send requests continuously.
pub(crate) struct Users(Vec<User>);

struct User {
    http: reqwest::Client,
    base: String,
    token: String,
    /// Connected vehicles that no other user commands.
    vehicles: Vec<String>,
}

#[derive(Clone, Copy)]
enum Work {
    ReadVehicle,
    ListVehicles,
    Submit,
    ReadCommand,
    ListCommands,
}

/// The duration of a request and whether it succeeded.
pub(crate) struct Reply {
    pub(crate) time: Duration,
    pub(crate) is_good: bool,
}

impl Users {
    pub(crate) async fn log_in(server: &Process, sql: &tokio_postgres::Client) -> Self {
        let query = "SELECT vehicle_id::text FROM vehicles
                     WHERE vin LIKE 'ATTACK%' AND connection_status = 'connected'";
        let rows = sql.query(query, &[]).await.unwrap();
        let vehicles: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let mut users = Vec::new();
        for (number, vehicles) in vehicles
            .chunks(vehicles.len() / USERS)
            .take(USERS)
            .enumerate()
        {
            let http = reqwest::Client::new();
            let base = format!("http://{}/api/v1", server.address());
            let token = log_in(&http, &base, &format!("user{}", number + 1)).await;
            users.push(User {
                http,
                base,
                token,
                vehicles: vehicles.to_vec(),
            });
        }
        Self(users)
    }

    /// Sends requests for `span` and returns the replies.
    pub(crate) async fn work(&self, span: Duration) -> Vec<Reply> {
        let end = Instant::now() + span;
        let replies = join_all(self.0.iter().map(|user| user.work_until(end))).await;
        replies.into_iter().flatten().collect()
    }
}

impl User {
    async fn work_until(&self, end: Instant) -> Vec<Reply> {
        let mut replies = Vec::new();
        let mut command_id = None;
        for (number, work) in ROUND.into_iter().cycle().enumerate() {
            if Instant::now() >= end {
                break;
            }
            let vehicle = self.vehicles.get(number % self.vehicles.len()).unwrap();
            let started = Instant::now();
            let body = self.perform(work, vehicle, command_id.as_deref()).await;
            replies.push(Reply {
                time: started.elapsed(),
                is_good: body.is_some(),
            });
            if let (Work::Submit, Some(command)) = (work, body) {
                let id = command.get("command_id").and_then(Value::as_str);
                command_id = id.map(str::to_owned);
            }
        }
        replies
    }

    async fn perform(&self, work: Work, vehicle: &str, command: Option<&str>) -> Option<Value> {
        let (method, path, body) = match (work, command) {
            (Work::ReadCommand, Some(id)) => (Method::GET, format!("/commands/{id}"), None),
            (Work::ReadVehicle | Work::ReadCommand, _) => {
                (Method::GET, format!("/vehicles/{vehicle}"), None)
            }
            (Work::ListVehicles, _) => (Method::GET, "/vehicles?limit=50".to_owned(), None),
            (Work::ListCommands, _) => (Method::GET, "/commands?limit=20".to_owned(), None),
            (Work::Submit, _) => {
                let body = json!({
                    "vehicle_id": vehicle, "command_name": "ReadDTC",
                    "command_params": { "ecuAddress": "0x10" },
                });
                (Method::POST, "/commands".to_owned(), Some(body))
            }
        };
        let url = format!("{}{path}", self.base);
        let request = self.http.request(method, url).bearer_auth(&self.token);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.ok()?;
        let is_good = matches!(response.status(), StatusCode::OK | StatusCode::CREATED);
        let body = response.bytes().await.ok()?;
        is_good.then(|| serde_json::from_slice(&body).unwrap())
    }
}

/// Logs in and returns the access token.
pub(crate) async fn log_in(http: &reqwest::Client, base: &str, username: &str) -> String {
    let body = json!({ "username": username, "password": "engineer123" });
    let request = http.post(format!("{base}/auth/login")).json(&body);
    let response = request.send().await.unwrap().error_for_status().unwrap();
    let tokens: Value = response.json().await.unwrap();
    let token = tokens.get("access_token").unwrap();
    token.as_str().unwrap().to_owned()
}
