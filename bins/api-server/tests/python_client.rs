//! The Python example against a real server, directly and over a connection that is lost.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod server;

use std::sync::{Arc, Mutex};

use server::{Running, server};
use sovd_app::{Settings, migrate::Migrator};
use sovd_devstack::{Stack, TIMEOUT, TestDatabase};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
    time::timeout,
};

const CLIENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/python-client/client.py"
);

async fn seeded() -> TestDatabase {
    let prepare = async |url: &str| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let migrator = Migrator::new(&Settings::for_tests(url, None));
        migrator.up().await?;
        migrator.seed(false).await?;
        Ok(())
    };
    let stack = Stack::shared().unwrap();
    stack.test_database("seeded", prepare).await.unwrap()
}

/// A server whose vehicles respond in three chunks.
async fn start(database: &TestDatabase) -> Running {
    let mut command = server();
    command
        .env("DATABASE_URL", database.url())
        .env("SOVD__CONNECTOR__MOCK__CHUNKS", "3")
        .env("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", "0")
        .env("SOVD__CONNECTOR__MOCK__MAX_DELAY_MS", "5");
    Running::start(&mut command).await
}

/// Runs the client; returns its exit code, output and errors.
async fn run_client(address: &str, password: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new("python3");
    command
        .args([CLIENT, &format!("http://{address}"), "engineer", password])
        .env("no_proxy", "*")
        .kill_on_drop(true);
    let output = timeout(TIMEOUT, command.output()).await.unwrap();
    let output = output.expect("python3 is installed");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Asserts that the client printed every response once, in order, and the final status.
#[track_caller]
fn assert_complete(output: &str) {
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(
        lines.first(),
        Some(&"vehicle TESTVIN0000000001"),
        "{output}"
    );
    let responses = lines.iter().filter(|line| line.starts_with("response "));
    let expected = [
        "response 1: P0420",
        "response 2: P0301",
        "response 3: U0100",
    ];
    assert!(responses.eq(&expected), "{output}");
    assert_eq!(lines.last(), Some(&"status completed"), "{output}");
}

#[tokio::test]
async fn follows_a_command_to_its_end() {
    let database = seeded().await;
    let running = start(&database).await;
    let (code, output, errors) = run_client(&running.address, "engineer123").await;
    assert_eq!(code, Some(0), "{output}{errors}");
    assert_complete(&output);

    let (code, output, errors) = run_client(&running.address, "wrong").await;
    assert_eq!((code, output.as_str()), (Some(1), ""), "{errors}");
    assert!(errors.contains("401"), "{errors}");
    running.signal("TERM").await;
    assert_eq!(running.ended().await.0, Some(0));
}

#[tokio::test]
async fn continues_after_the_last_response_when_the_connection_is_lost() {
    let database = seeded().await;
    let running = start(&database).await;
    let proxy = Proxy::start(running.address.clone()).await;
    let (code, output, errors) = run_client(&proxy.address, "engineer123").await;
    assert_eq!(code, Some(0), "{output}{errors}");
    assert_complete(&output);
    assert_eq!(errors.matches("reconnecting").count(), 1, "{errors}");
    let heads = proxy.stream_requests.lock().unwrap();
    assert!(!heads[0].contains("last-event-id"), "{}", heads[0]);
    assert!(heads[1].contains("last-event-id: 1\r\n"), "{}", heads[1]);
    assert_eq!(heads.len(), 2);
}

/// Forwards connections to a server, and closes the first event stream after its first response.
struct Proxy {
    address: String,
    /// The heads of the requests for event streams, in lower case.
    stream_requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stream_requests = Arc::<Mutex<Vec<String>>>::default();
        let requests = Arc::clone(&stream_requests);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(forward(client, server, Arc::clone(&requests)));
            }
        });
        Self {
            address,
            stream_requests,
        }
    }
}

async fn forward(
    mut client: TcpStream,
    mut server: TcpStream,
    stream_requests: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if client.read_buf(&mut head).await.unwrap() == 0 {
            return;
        }
    }
    server.write_all(&head).await.unwrap();
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let is_first_stream = head.contains("/events ") && {
        let mut requests = stream_requests.lock().unwrap();
        requests.push(head);
        requests.len() == 1
    };
    if !is_first_stream {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        return;
    }
    let mut received = Vec::new();
    while !ends_after_first_response(&received) {
        let mut byte = [0];
        server.read_exact(&mut byte).await.unwrap();
        client.write_all(&byte).await.unwrap();
        received.push(byte[0]);
    }
}

fn ends_after_first_response(received: &[u8]) -> bool {
    let received = String::from_utf8_lossy(received);
    received
        .split_once("id: 1\n")
        .is_some_and(|(_, block)| block.contains("\n\n"))
}
