use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::agents::{
    COMMANDS, LOGS, allowing, audited, expect_suspended, line, listed, logged, machine_as, reading,
};

/// A machine that may send commands to one vehicle only.
async fn keeper(world: &World) -> Client {
    let account = json!({
        "name": "monitor", "role": "engineer", "permissions": ["commands.submit"],
        "vehicle_ids": [OFFLINE], "expires_in_days": 1,
    });
    machine_as(world, account).await
}

/// Sends the head of a request and all of its body but the last byte, which it gives.
async fn begin(world: &World, machine: &Client, body: &Value) -> (TcpStream, String) {
    let body = body.to_string();
    let (begun, rest) = body.split_at(body.len() - 1);
    let head = format!(
        "POST {COMMANDS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{begun}",
        machine.token.as_deref().unwrap(),
        body.len(),
    );
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    (stream, rest.to_owned())
}

#[tokio::test]
async fn a_call_that_ends_after_the_suspension_changes_nothing() {
    let world = World::with(|settings| {
        settings.agents.allow = vec!["monitor:commands.submit".to_owned()];
        settings.agents.blocked_attempts = 1;
    })
    .await;
    let monitor = keeper(&world).await;
    let (mut stream, rest) = begin(&world, &monitor, &reading(OFFLINE)).await;
    let admitted = line("commands.submit", "POST /api/v1/commands", "ALLOWED");
    timeout(Duration::from_secs(30), async {
        while logged(&world).await != [admitted.clone()] {}
    })
    .await
    .unwrap();
    for _ in 0..2 {
        let refused = monitor.post(COMMANDS, &reading(CONNECTED)).await;
        refused.expect_problem(404, "not_found");
    }
    assert_eq!(audited(&world, "agent.suspend").await.len(), 1);

    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let problem = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
    expect_suspended(&serde_json::from_str(problem).unwrap());
    let commands = world
        .sql()
        .await
        .query_one("SELECT count(*) FROM commands", &[])
        .await;
    assert_eq!(commands.unwrap().get::<_, i64>(0), 0);
    assert_eq!(audited(&world, "access.refuse").await.len(), 1);
}

#[tokio::test]
async fn agents_that_tell_of_each_other_at_once_do_not_wait_for_ever() {
    let world = allowing(&["left:agents.record", "right:agents.record"]).await;
    let account = |name: &str| {
        json!({
            "name": name, "role": "admin", "permissions": ["agents.record"], "expires_in_days": 1,
        })
    };
    let left = machine_as(&world, account("left")).await;
    let right = machine_as(&world, account("right")).await;
    let about = |name: &str| json!({ "agent_name": name, "action_type": "agents.record", "status": "BLOCKED" });
    let told = join_all((0..2).flat_map(|_| {
        [(&left, "right"), (&right, "left"), (&left, "left")].map(|(client, name)| {
            let body = about(name);
            async move { client.post(LOGS, &body).await }
        })
    }));
    for reply in told.await {
        reply.expect(201);
    }
    let admin = world.log_in("admin").await;
    let blocked = listed(&admin, &format!("{LOGS}?status=BLOCKED")).await;
    assert_eq!(blocked.len(), 6);
}
