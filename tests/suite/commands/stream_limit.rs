use serde_json::json;
use sovd_tests::{Client, EventSource, Reply, World, within};

const LIMIT: usize = 3;

/// Starts a world in which a command and its streams last until the command is cancelled.
async fn few_streams() -> World {
    World::with(|settings| {
        settings.connector.mock.hang = true;
        settings.streams.per_user = LIMIT;
        settings.streams.keep_alive_seconds = 1;
    })
    .await
}

async fn listen(client: &Client, id: &str) -> Result<EventSource, Reply> {
    client.listen(id, None).await
}

#[track_caller]
fn assert_refused(answer: Result<EventSource, Reply>) {
    let refused = answer.err().expect("a refusal");
    assert_eq!(refused.headers["retry-after"], "5");
    let problem = refused.expect_problem(429, "rate_limited");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("3 streams"), "{detail}");
}

async fn assert_socket_refused(client: &Client, id: &str) {
    let (events, closing) = client.watch(id).await;
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(closing.code, 1013, "{closing:?}");
    assert!(closing.reason.starts_with("rate_limited: "), "{closing:?}");
}

#[tokio::test]
async fn rejects_websockets_above_the_limit_until_one_closes() {
    let world = few_streams().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut sockets = Vec::new();
    for _ in 0..LIMIT {
        let mut socket = engineer.open(&id).await;
        assert_eq!(socket.next().await.unwrap()["status"], "in_progress");
        sockets.push(socket);
    }
    assert_socket_refused(&engineer, &id).await;
    assert_refused(listen(&engineer, &id).await);

    // Dropping a connection without a close frame also frees its slot.
    drop(sockets.pop());
    let slot = Box::pin(async {
        loop {
            let mut socket = engineer.open(&id).await;
            if socket.next().await.is_ok() {
                return socket;
            }
        }
    });
    let mut again = within("a free slot", slot).await;
    assert_socket_refused(&engineer, &id).await;
    cancel(&engineer, &id).await;
    while again.next().await.is_ok() {}
}

#[tokio::test]
async fn rejects_sse_streams_above_the_limit_until_one_ends() {
    let world = few_streams().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let mut streams = Vec::new();
    for _ in 0..LIMIT {
        let mut stream = listen(&engineer, &id).await.unwrap();
        assert_eq!(stream.next().await.unwrap()["status"], "in_progress");
        streams.push(stream);
    }
    assert_refused(listen(&engineer, &id).await);
    assert_socket_refused(&engineer, &id).await;

    // The server detects the disconnection when it cannot send a comment.
    drop(streams.pop());
    let again = within("a free slot", async {
        loop {
            if let Ok(stream) = listen(&engineer, &id).await {
                return stream;
            }
        }
    })
    .await;
    assert_refused(listen(&engineer, &id).await);

    // All streams end with the command, which frees their slots.
    cancel(&engineer, &id).await;
    for stream in streams.into_iter().chain([again]) {
        let events = stream.rest().await;
        assert_eq!(events.last().unwrap()["failure_kind"], "cancelled");
    }
    let next = engineer.read_dtc().await;
    let mut streams = Vec::new();
    for _ in 0..LIMIT {
        streams.push(listen(&engineer, &next).await.unwrap());
    }
    assert_refused(listen(&engineer, &next).await);
}

#[tokio::test]
async fn websockets_and_sse_streams_share_the_limit_of_a_user() {
    let world = few_streams().await;
    let engineer = world.log_in("engineer").await;
    let other = world.log_in("other").await;
    let id = engineer.read_dtc().await;
    let others = other.read_dtc_offline(3600).await;
    let _first = engineer.open(&id).await;
    let second = listen(&engineer, &id).await.unwrap();
    let _third = engineer.open(&id).await;
    assert_refused(listen(&engineer, &id).await);
    assert_socket_refused(&engineer, &id).await;

    let mut streams = Vec::new();
    for _ in 0..LIMIT {
        streams.push(listen(&other, &others).await.unwrap());
    }
    assert_refused(listen(&other, &others).await);
    assert_refused(listen(&engineer, &id).await);
    drop(second);
}

#[tokio::test]
async fn rejected_requests_do_not_count() {
    let world = few_streams().await;
    let engineer = world.log_in("engineer").await;
    let unknown = "00000000-0000-0000-0000-00000000ffff";
    for _ in 0..LIMIT {
        let refused = listen(&engineer, unknown).await.err().unwrap();
        refused.expect_problem(404, "not_found");
        let (_, closing) = engineer.watch(unknown).await;
        assert_eq!(closing.code, 1008, "{closing:?}");
    }
    let id = engineer.read_dtc().await;
    let mut streams = Vec::new();
    for _ in 0..LIMIT {
        streams.push(listen(&engineer, &id).await.unwrap());
    }
}

async fn cancel(client: &Client, id: &str) {
    let path = format!("/api/v1/commands/{id}/cancel");
    client.post(&path, &json!(null)).await.expect(200);
}
