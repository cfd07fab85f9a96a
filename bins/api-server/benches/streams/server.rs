use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sovd_devstack::TestDatabase;
use tokio::time::sleep;

use crate::{
    ADD_VEHICLE, CHEAP_ENGINEER, CHUNKS, CONNECT_VEHICLE, OPENING, TICKS_PER_SECOND,
    process::Process,
    socket::{Delivery, Socket, total},
};

/// A server in a separate process.
pub(crate) struct Server {
    process: Process,
    pub(crate) address: String,
    pub(crate) token: String,
    pub(crate) http: reqwest::Client,
}

impl Server {
    pub(crate) async fn start(database: &TestDatabase, redis_url: &str) -> Self {
        let sql = database.client().await.unwrap();
        sql.batch_execute(CHEAP_ENGINEER).await.unwrap();
        let chunks = CHUNKS.to_string();
        let settings = [
            ("SOVD__STREAMS__PER_USER", "100000"),
            ("SOVD__CONNECTOR__MOCK__CHUNKS", chunks.as_str()),
            ("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", "0"),
            ("SOVD__CONNECTOR__MOCK__MAX_DELAY_MS", "0"),
        ];
        let process = Process::start(database.url(), redis_url, &settings);
        let mut server = Self {
            address: process.address().to_owned(),
            process,
            token: String::new(),
            http: reqwest::Client::new(),
        };
        let body = json!({ "username": "engineer", "password": "engineer123" });
        let tokens = server.post("/auth/login", &body).await;
        server.token = text(&tokens, "access_token");
        server
    }

    /// Submits a command and returns its id.
    pub(crate) async fn submit(&self, vehicle_id: &str) -> String {
        let body = json!({
            "vehicle_id": vehicle_id, "command_name": "ReadDTC",
            "command_params": { "ecuAddress": "0x10" },
        });
        let command = self.post("/commands", &body).await;
        text(&command, "command_id")
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("http://{}/api/v1{path}", self.address);
        let request = self.http.post(url).bearer_auth(&self.token).json(body);
        let response = request.send().await.unwrap();
        response.error_for_status().unwrap().json().await.unwrap()
    }

    /// Opens WebSockets that follow the commands in turn.
    pub(crate) async fn open(&self, commands: &[String], count: usize) -> Vec<Socket> {
        stream::iter(commands.iter().cycle().take(count))
            .map(|command_id| Socket::open(&self.address, &self.token, command_id))
            .buffer_unordered(OPENING)
            .collect()
            .await
    }

    /// Executes a command with the given number of followers.
    pub(crate) async fn fan_out(&self, sql: &tokio_postgres::Client, followers: usize) -> Delivery {
        let vehicle_id: String = sql.query_one(ADD_VEHICLE, &[]).await.unwrap().get(0);
        let command_id = self.submit(&vehicle_id).await;
        let sockets = self.open(&[command_id], followers).await;
        let readers = sockets
            .into_iter()
            .map(|mut socket| tokio::spawn(async move { socket.follow().await }));
        let readers = readers.collect();
        sql.execute(CONNECT_VEHICLE, &[&vehicle_id]).await.unwrap();
        let delivery = total(readers).await;
        assert!(delivery.messages > CHUNKS * followers, "events are missing");
        delivery
    }

    /// Returns the resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.process.status_kib("VmRSS:") * 1024
    }

    /// Measures the CPU usage for `time`, in percent of one core.
    pub(crate) async fn cpu(&self, time: Duration) -> f64 {
        let (started, before) = (Instant::now(), self.ticks());
        sleep(time).await;
        let seconds = (self.ticks() - before) / TICKS_PER_SECOND;
        100.0 * seconds / started.elapsed().as_secs_f64()
    }

    /// Returns the CPU time so far, in user and system mode.
    pub(crate) fn ticks(&self) -> f64 {
        let stat = self.process.proc("stat");
        // The preceding name of the program may contain any character.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let times = fields.split_whitespace().skip(11).take(2);
        times.map(|ticks| ticks.parse::<f64>().unwrap()).sum()
    }
}

pub(crate) fn text(body: &Value, field: &str) -> String {
    body.get(field).unwrap().as_str().unwrap().to_owned()
}
