use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_tungstenite::{client_async, tungstenite::client::IntoClientRequest};
use tokio_util::sync::CancellationToken;

use crate::{process::Process, users::log_in};

/// The source address of the attacks, which differs from that of the users.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const OFFLINE: &str = "00000000-0000-0000-0000-000000000102";

/// How long an attacker waits for the server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An attacker with an ordinary account.
#[derive(Clone)]
pub(crate) struct Attacker {
    http: reqwest::Client,
    address: SocketAddr,
    token: String,
}

/// The number of attempts of each attack by name.
pub(crate) type Tallies = BTreeMap<&'static str, u64>;

/// The attacks, each with a name and its concurrency.
const FRAMES: (&str, usize) = ("frames", 4);
const BACKLOG: (&str, usize) = ("backlog", 4);
const HEADS: (&str, usize) = ("heads", 200);
const UNREAD: (&str, usize) = ("unread", 150);
const LISTS: (&str, usize) = ("lists", 100);

impl Attacker {
    pub(crate) async fn log_in(server: &Process) -> Self {
        let http = reqwest::Client::builder()
            .local_address(std::net::IpAddr::from(SOURCE))
            .timeout(TIMEOUT)
            .build()
            .unwrap();
        let base = format!("http://{}/api/v1", server.address());
        let token = log_in(&http, &base, "engineer").await;
        Self {
            http,
            address: server.address().parse().unwrap(),
            token,
        }
    }

    /// Runs the attacks that `only` names, or all of them, until `stop`.
    pub(crate) fn start(
        &self,
        only: &str,
        stop: &CancellationToken,
    ) -> impl Future<Output = Tallies> + use<> {
        let mut running = Vec::new();
        for (name, count) in [FRAMES, BACKLOG, HEADS, UNREAD, LISTS] {
            if !only.is_empty() && !only.split(',').any(|it| it == name) {
                continue;
            }
            let tally = Arc::new(AtomicU64::new(0));
            let tasks = (0..count).map(|_| {
                let (attacker, tally) = (self.clone(), Arc::clone(&tally));
                let attack = async move {
                    loop {
                        attacker.attempt(name).await;
                        tally.fetch_add(1, Ordering::Relaxed);
                    }
                };
                tokio::spawn(stop.clone().run_until_cancelled_owned(attack))
            });
            let tasks: Vec<_> = tasks.collect();
            running.push(async move {
                join_all(tasks).await;
                (name, tally.load(Ordering::Relaxed))
            });
        }
        async { join_all(running).await.into_iter().collect() }
    }

    async fn attempt(&self, name: &str) {
        let attempt = async {
            match name {
                "frames" => self.announce_a_huge_frame().await,
                "backlog" => self.submit_for_an_offline_vehicle().await,
                "heads" => self.send_half_a_head().await,
                "unread" => self.read_no_response().await,
                _ => self.list_from_a_deep_offset().await,
            }
        };
        // An attempt may end with a broken connection.
        let _ = timeout(TIMEOUT, attempt).await;
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((SOURCE, 0)))?;
        socket.connect(self.address).await
    }

    async fn announce_a_huge_frame(&self) -> std::io::Result<()> {
        let mut stream = self.connect().await?;
        let url = format!("ws://{}/ws/events", self.address);
        let mut request = url.into_client_request().unwrap();
        let value = format!("Bearer {}", self.token).parse().unwrap();
        request.headers_mut().insert("Authorization", value);
        let opened = client_async(request, &mut stream).await;
        opened.map_err(std::io::Error::other)?;
        let mut header = vec![0x82, 0xFF];
        header.extend((1_u64 << 40).to_be_bytes());
        header.extend([0; 4]);
        stream.write_all(&header).await?;
        let zeros = vec![0; 64 * 1024];
        loop {
            stream.write_all(&zeros).await?;
        }
    }

    async fn submit_for_an_offline_vehicle(&self) -> std::io::Result<()> {
        let body = json!({
            "vehicle_id": OFFLINE, "command_name": "ReadDTC",
            "command_params": { "ecuAddress": "0x10" }, "queue_if_offline": true,
        });
        let url = format!("http://{}/api/v1/commands", self.address);
        let request = self.http.post(url).bearer_auth(&self.token).json(&body);
        request
            .send()
            .await
            .map(drop)
            .map_err(std::io::Error::other)
    }

    async fn send_half_a_head(&self) -> std::io::Result<()> {
        let mut stream = self.connect().await?;
        let request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /health/live HTTP/1.1\r\n";
        stream.write_all(request).await?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.map(drop)
    }

    async fn read_no_response(&self) -> std::io::Result<()> {
        let mut stream = self.connect().await?;
        let request = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(16);
        stream.write_all(request.as_bytes()).await?;
        loop {
            sleep(Duration::from_millis(500)).await;
            stream.write_all(b"\r\n").await?;
        }
    }

    async fn list_from_a_deep_offset(&self) -> std::io::Result<()> {
        let url = format!("http://{}/api/v1/vehicles?offset=100000", self.address);
        let request = self.http.get(url).bearer_auth(&self.token);
        let response = request.send().await.map_err(std::io::Error::other)?;
        response
            .bytes()
            .await
            .map(drop)
            .map_err(std::io::Error::other)
    }
}
