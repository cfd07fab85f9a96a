use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, World, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    agents::policy::{
        COMMANDS, LOGS, allowing, audited, expect_suspended, listed, log_entry, logged, machine_as,
        reading,
    },
    maintenance::bookings::{book, moment},
};

/// Creates an agent that may submit commands to one vehicle only.
async fn keeper(world: &World) -> Client {
    let account = json!({
        "name": "monitor", "role": "engineer", "permissions": ["commands.submit"],
        "vehicle_ids": [OFFLINE], "expires_in_days": 1,
    });
    machine_as(world, account).await
}

/// Sends a request except for the last byte of its body; returns that byte.
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
async fn rejects_a_call_that_completes_after_the_suspension() {
    let world = World::with(|settings| {
        settings.agents.allow = vec!["monitor:commands.submit".to_owned()];
        settings.agents.blocked_attempts = 1;
    })
    .await;
    let monitor = keeper(&world).await;
    let (mut stream, rest) = begin(&world, &monitor, &reading(OFFLINE)).await;
    let admitted = log_entry("commands.submit", "POST /api/v1/commands", "ALLOWED");
    within("the request to be admitted", async {
        while logged(&world).await != [admitted.clone()] {}
    })
    .await;
    for _ in 0..2 {
        let refused = monitor.post(COMMANDS, &reading(CONNECTED)).await;
        refused.expect_problem(404, "not_found");
    }
    assert_eq!(audited(&world, "agent.suspend").await.len(), 1);

    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    let problem = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
    expect_suspended(&serde_json::from_str(problem).unwrap());
    let commands = world
        .sql()
        .await
        .query_one("SELECT count(*) FROM commands", &[])
        .await;
    assert_eq!(commands.unwrap().get::<_, i64>(0), 0);
    world.wait_for_refusals().await;
    assert_eq!(audited(&world, "access.refuse").await.len(), 1);
}

#[tokio::test]
async fn accepts_no_command_after_the_suspension_time() {
    let world = World::with(|settings| {
        settings.agents.allow = vec!["monitor:commands.submit".to_owned()];
        settings.agents.blocked_attempts = 1;
    })
    .await;
    let other_node = world.beside(|_| {}).await;
    let keeper = keeper(&world).await;
    let mut elsewhere = other_node.anonymous();
    elsewhere.token.clone_from(&keeper.token);
    let blocked = async || {
        let refused = keeper.post(COMMANDS, &reading(CONNECTED)).await;
        refused.expect_problem(404, "not_found");
    };
    blocked().await;

    // The last attempt before the suspension has its time but is not counted yet.
    let counting = world.sql().await;
    let lock = "BEGIN; LOCK TABLE blocked_attempts IN SHARE MODE";
    counting.batch_execute(lock).await.unwrap();
    let submissions = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                       AND datname = current_database()
                       AND query LIKE 'INSERT INTO \"blocked_attempts\"%'";
        // On a separate connection, because a transaction sees a single snapshot of this view.
        let observer = world.sql().await;
        within("the attempt to be counted", async {
            while observer
                .query_one(waiting, &[])
                .await
                .unwrap()
                .get::<_, i64>(0)
                == 0
            {}
        })
        .await;
        let command = reading(OFFLINE);
        let clients = [&keeper, &elsewhere];
        let sent = join_all((0..8).map(|number| clients[number % 2].post(COMMANDS, &command)));
        for reply in sent.await {
            reply.expect(201);
        }
        counting.batch_execute("COMMIT").await.unwrap();
    };
    tokio::join!(blocked(), submissions);

    let times = "SELECT count(*), count(*) FILTER (WHERE submitted_at > suspended_at)
                 FROM commands, agent_suspensions";
    let row = counting.query_one(times, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (8, 0));
    for client in [&keeper, &elsewhere] {
        let refused = client.post(COMMANDS, &reading(OFFLINE)).await;
        expect_suspended(&refused.expect_problem(403, "forbidden"));
    }
}

#[tokio::test]
async fn agents_recording_each_other_do_not_deadlock() {
    let world = allowing(&["left:agents.record", "right:agents.record"]).await;
    let account = |name: &str| {
        json!({
            "name": name, "role": "admin", "permissions": ["agents.record"], "expires_in_days": 1,
        })
    };
    let left = machine_as(&world, account("left")).await;
    let right = machine_as(&world, account("right")).await;
    let about = |name: &str| json!({ "agent_name": name, "action_type": "agents.record", "status": "BLOCKED" });
    let recorded = join_all((0..2).flat_map(|_| {
        [(&left, "right"), (&right, "left"), (&left, "left")].map(|(client, name)| {
            let body = about(name);
            async move { client.post(LOGS, &body).await }
        })
    }));
    for reply in recorded.await {
        reply.expect(201);
    }
    let admin = world.log_in("admin").await;
    let blocked = listed(&admin, &format!("{LOGS}?status=BLOCKED")).await;
    assert_eq!(blocked.len(), 6);
}

#[tokio::test]
async fn rechecks_the_suspension_from_an_additional_permission_at_the_change() {
    let world = allowing(&["monitor:bookings.book", "monitor:bookings.manage"]).await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    let booking = book(&service, CONNECTED, time, |_| {}).await.expect(201);
    let path = format!("/api/v1/bookings/{}", booking["id"].as_str().unwrap());
    let account = json!({
        "name": "monitor", "role": "service", "expires_in_days": 1,
        "permissions": ["bookings.book", "bookings.manage"],
    });
    let monitor = machine_as(&world, account).await;
    let mut sql = world.sql().await;
    let transaction = sql.transaction().await.unwrap();
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended(E'monitor\\nbookings.manage', $1))";
    transaction.query(lock, &[&0x7565_6262_i64]).await.unwrap();
    let confirm = json!({ "status": "CONFIRMED" });
    let suspended = async {
        world.wait_until_blocked(1).await;
        let suspension = "INSERT INTO agent_suspensions
                              (agent_name, action_type, blocked_attempts, suspended_at)
                          VALUES ('monitor', 'bookings.manage', 6, now())";
        transaction.execute(suspension, &[]).await.unwrap();
        transaction.commit().await.unwrap();
    };
    let (refused, ()) = tokio::join!(monitor.patch(&path, &confirm), suspended);
    expect_suspended(&refused.expect_problem(403, "forbidden"));
    let booking = service.get(&path).await.expect(200);
    assert_eq!(booking["status"], "PENDING");
}
