//! Memory that hostile clients can allocate in a server.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "shared with other tests")]
mod client;
#[expect(dead_code, reason = "shared with other tests")]
mod server;
#[expect(dead_code, reason = "shared with other tests")]
mod test_vehicles;

use std::time::Duration;

use client::Client;
use futures_util::future::join_all;
use server::Running;
use sovd_devstack::within;
use test_vehicles::Fleet;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{client_async, tungstenite::client::IntoClientRequest};

const MIB: u64 = 1024;

impl Running {
    /// Returns the largest resident memory until `end`, in KiB.
    async fn largest_until(&self, end: impl Future<Output = ()>) -> u64 {
        let mut largest = self.resident();
        let mut end = std::pin::pin!(end);
        while timeout(Duration::from_millis(20), &mut end).await.is_err() {
            largest = largest.max(self.resident());
        }
        largest.max(self.resident())
    }
}

/// Opens a WebSocket and returns its connection.
async fn open_events(address: &str, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/ws/events");
    let mut request = url.into_client_request().unwrap();
    let value = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("Authorization", value);
    client_async(request, &mut stream).await.unwrap();
    stream
}

#[tokio::test]
async fn a_frame_header_announcing_2_to_the_40_bytes_allocates_no_memory() {
    let fleet = Fleet::new().await;
    let server = Running::start(&mut fleet.server()).await;
    let engineer = Client::log_in(&server.address).await;
    let before = server.resident();

    let attacks = (0..4).map(|_| async {
        let mut stream = open_events(&server.address, &engineer.token).await;
        let mut header = vec![0x82, 0xFF];
        header.extend((1_u64 << 40).to_be_bytes());
        header.extend([0; 4]);
        stream.write_all(&header).await.unwrap();
        let zeros = vec![0; 1024 * 1024];
        // 256 MiB, or less if the server closes the connection.
        for _ in 0..256 {
            if stream.write_all(&zeros).await.is_err() {
                break;
            }
        }
    });
    let attacks = async {
        within("the attacks", join_all(attacks)).await;
    };
    let grown = server.largest_until(attacks).await.saturating_sub(before);
    println!("grown by {grown} KiB");
    assert!(grown < 32 * MIB, "grown by {grown} KiB");
}

#[tokio::test]
async fn unread_responses_allocate_little_memory() {
    const SOCKETS: u64 = 300;
    let fleet = Fleet::new().await;
    let mut command = fleet.server();
    let command = command
        .env("SOVD__SERVER__CONNECTIONS_PER_ADDRESS", "0")
        .env("SOVD__SERVER__RESPONSE_WRITE_SECONDS", "2");
    let server = Running::start(command).await;
    let before = server.resident();

    let mut requests = String::new();
    for path in ["/openapi.json", "/docs/swagger-ui-bundle.js"] {
        requests.push_str(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(4));
    }
    let attacks = (0..SOCKETS).map(|_| async {
        let socket = TcpSocket::new_v4().unwrap();
        // So that the operating system buffers little of the responses.
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let address = server.address.parse().unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        // The server reads one request at a time, so this may block until the server closes the connection.
        while stream.write_all(requests.as_bytes()).await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    let attacks = async {
        within("the attacks", join_all(attacks)).await;
    };
    let started = Instant::now();
    let grown = server.largest_until(attacks).await.saturating_sub(before);
    println!("grown by {grown} KiB; closed after {:?}", started.elapsed());
    // 100 KiB for each connection: buffers of 16 to 64 KiB for reading and writing.
    assert!(grown < SOCKETS * 100, "grown by {grown} KiB");
}
