use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, OFFLINE, World};

use crate::agents::policy::{
    COMMANDS, SUSPENSIONS, VEHICLES, allowing, attempt_blocked, audited, expect_suspended, listed,
    log_entry, logged, machine, machine_as, reading,
};

#[tokio::test]
async fn exceeding_the_limit_suspends_only_from_that_action() {
    let world = World::start().await;
    let permissions = ["vehicles.read", "commands.submit", "commands.read"];
    let monitor = machine(&world, "monitor", &permissions).await;
    let admin = world.log_in("admin").await;
    attempt_blocked(&monitor, 5).await;
    assert!(listed(&admin, SUSPENSIONS).await.is_empty());
    assert!(audited(&world, "agent.suspend").await.is_empty());
    attempt_blocked(&monitor, 1).await;

    let suspensions = listed(&admin, SUSPENSIONS).await;
    assert_eq!(suspensions.len(), 1);
    let suspension = &suspensions[0];
    assert_eq!(suspension["agent_name"], "monitor");
    assert_eq!(suspension["action_type"], "commands.submit");
    assert_eq!(suspension["blocked_attempts"], 6);
    assert!(suspension["suspended_at"].is_string());
    assert_eq!(suspension["lifted_at"], Value::Null);
    assert_eq!(suspension["lifted_by"], Value::Null);
    let entries = audited(&world, "agent.suspend").await;
    assert_eq!(entries.len(), 1);
    let details = json!({
        "agent": "monitor", "action_type": "commands.submit", "attempts": 6, "minutes": 10,
    });
    assert_eq!(entries[0]["details"], details);
    assert_eq!(entries[0]["entity_type"], "agent");
    assert_eq!(entries[0]["entity_id"], suspension["suspension_id"]);
    assert_eq!(entries[0]["ip_address"], "127.0.0.1");

    attempt_blocked(&monitor, 7).await;
    assert_eq!(listed(&admin, SUSPENSIONS).await.len(), 1);
    assert_eq!(audited(&world, "agent.suspend").await.len(), 1);
    monitor.get(VEHICLES).await.expect(200);
    monitor.get(COMMANDS).await.expect(200);
    let robot = machine(&world, "robot", &permissions).await;
    robot.get(VEHICLES).await.expect(200);
}

#[tokio::test]
async fn a_suspension_also_blocks_reading_until_lifted() {
    let world = World::with(|settings| settings.agents.blocked_attempts = 2).await;
    let account = json!({
        "name": "monitor", "role": "engineer", "permissions": ["vehicles.read", "commands.read"],
        "vehicle_ids": [OFFLINE], "expires_in_days": 1,
    });
    let monitor = machine_as(&world, account).await;
    let hidden = format!("{VEHICLES}/{CONNECTED}");
    for _ in 0..2 {
        monitor.get(&hidden).await.expect_problem(404, "not_found");
    }
    monitor.get(VEHICLES).await.expect(200);
    monitor.get(&hidden).await.expect_problem(404, "not_found");
    for path in [VEHICLES, &hidden, "/api/v1/vehicles/x"] {
        let problem = monitor.get(path).await.expect_problem(403, "forbidden");
        expect_suspended(&problem);
    }
    let closing = monitor.open_at("/ws/events").await.rest().await.1;
    assert_eq!(closing.code, 1008);
    assert!(closing.reason.contains("suspended"), "{closing:?}");
    monitor.get(COMMANDS).await.expect(200);

    let admin = world.log_in("admin").await;
    let suspensions = listed(&admin, SUSPENSIONS).await;
    let id = suspensions[0]["suspension_id"].as_str().unwrap();
    admin
        .delete(&format!("{SUSPENSIONS}/{id}"))
        .await
        .expect(204);
    monitor.get(VEHICLES).await.expect(200);
    // Attempts before the lifting no longer count.
    for _ in 0..2 {
        monitor.get(&hidden).await.expect_problem(404, "not_found");
    }
    monitor.get(VEHICLES).await.expect(200);
    monitor.get(&hidden).await.expect_problem(404, "not_found");
    let problem = monitor.get(VEHICLES).await.expect_problem(403, "forbidden");
    expect_suspended(&problem);
    assert_eq!(listed(&admin, SUSPENSIONS).await.len(), 2);
}

#[tokio::test]
async fn requests_outside_the_scope_of_a_key_are_blocked_attempts() {
    let world = allowing(&["monitor:commands.submit"]).await;
    let account = json!({
        "name": "monitor", "role": "engineer",
        "permissions": ["vehicles.read", "commands.submit", "commands.read"],
        "vehicle_ids": [OFFLINE], "expires_in_days": 1,
    });
    let monitor = machine_as(&world, account).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    monitor
        .get(&format!("{VEHICLES}/{CONNECTED}"))
        .await
        .expect_problem(404, "not_found");
    let refused = monitor.post(COMMANDS, &reading(CONNECTED)).await;
    refused.expect_problem(404, "not_found");
    monitor
        .get(&format!("{COMMANDS}/{id}"))
        .await
        .expect_problem(404, "not_found");
    let path = format!("/ws/events?vehicle_id={CONNECTED}");
    assert_eq!(monitor.open_at(&path).await.rest().await.1.code, 1008);
    assert_eq!(monitor.watch(&id).await.1.code, 1008);

    let blocked: Vec<_> = logged(&world)
        .await
        .into_iter()
        .filter(|(_, _, status)| status == "BLOCKED")
        .collect();
    let (vehicle, command) = (format!("vehicle {CONNECTED}"), format!("command {id}"));
    let expected = [
        log_entry("vehicles.read", &vehicle, "BLOCKED"),
        log_entry("commands.submit", &vehicle, "BLOCKED"),
        log_entry("commands.read", &command, "BLOCKED"),
        log_entry("vehicles.read", &vehicle, "BLOCKED"),
        log_entry("commands.read", &command, "BLOCKED"),
    ];
    assert_eq!(blocked, expected);
    assert_eq!(logged(&world).await.len(), 10);
}

/// Makes concurrent blocked attempts on two nodes; returns the number of suspensions and of their audit
/// entries.
async fn concurrent_attempts(attempts: usize) -> (usize, usize) {
    let world = World::start().await;
    let node = world.beside(|_| {}).await;
    let here = machine(&world, "monitor", &["vehicles.read"]).await;
    let there = here.at(node.address());
    let body = reading(CONNECTED);
    let nodes = [&here, &there].into_iter().cycle();
    let requests = nodes
        .take(attempts)
        .map(|client| client.post(COMMANDS, &body));
    let mut sql = world.sql().await;
    let lock = sql.transaction().await.unwrap();
    let acquire =
        "SELECT pg_advisory_xact_lock(hashtextextended(E'monitor\\ncommands.submit', $1))";
    lock.query(acquire, &[&0x7565_6261_i64]).await.unwrap();
    let release = async {
        // One attempt of each node waits here, and the others wait for it.
        world.wait_until_blocked(2).await;
        lock.commit().await.unwrap();
    };
    let (replies, ()) = tokio::join!(join_all(requests), release);
    for reply in replies {
        reply.expect_problem(403, "forbidden");
    }
    assert_eq!(logged(&world).await.len(), attempts);
    let admin = world.log_in("admin").await;
    let suspensions = listed(&admin, SUSPENSIONS).await;
    if let Some(suspension) = suspensions.first() {
        assert_eq!(suspension["blocked_attempts"], 6);
    }
    let entries = audited(&world, "agent.suspend").await.len();
    (suspensions.len(), entries)
}

#[tokio::test]
async fn five_concurrent_attempts_do_not_suspend() {
    assert_eq!(concurrent_attempts(5).await, (0, 0));
}

#[tokio::test]
async fn six_concurrent_attempts_on_two_nodes_suspend_once() {
    assert_eq!(concurrent_attempts(6).await, (1, 1));
}

#[tokio::test]
async fn thirty_concurrent_attempts_on_two_nodes_suspend_once() {
    assert_eq!(concurrent_attempts(30).await, (1, 1));
}

#[tokio::test]
async fn only_an_admin_lifts_a_suspension_once_and_audited() {
    let world = allowing(&["boss:agents.record"]).await;
    let monitor = machine(&world, "monitor", &["vehicles.read"]).await;
    attempt_blocked(&monitor, 6).await;
    let admin = world.log_in("admin").await;
    let suspension = listed(&admin, SUSPENSIONS).await.remove(0);
    let id = suspension["suspension_id"].as_str().unwrap();
    let path = format!("{SUSPENSIONS}/{id}");

    let boss = machine_as(
        &world,
        json!({
            "name": "boss", "role": "admin", "permissions": ["agents.read", "agents.record"],
            "expires_in_days": 1,
        }),
    )
    .await;
    boss.get(SUSPENSIONS).await.expect(200);
    boss.delete(&path).await.expect_problem(403, "forbidden");
    let engineer = world.log_in("engineer").await;
    engineer
        .delete(&path)
        .await
        .expect_problem(403, "forbidden");

    let both = join_all([admin.delete(&path), admin.delete(&path)]).await;
    let mut statuses: Vec<u16> = both.iter().map(|reply| reply.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
    admin.delete(&path).await.expect_problem(409, "conflict");
    let nothing = format!("{SUSPENSIONS}/{CONNECTED}");
    admin
        .delete(&nothing)
        .await
        .expect_problem(404, "not_found");
    let no_id = format!("{SUSPENSIONS}/x");
    admin
        .delete(&no_id)
        .await
        .expect_bad_field(400, "malformed_request", "/suspension_id");

    let lifted = listed(&admin, SUSPENSIONS).await.remove(0);
    assert!(lifted["lifted_at"].is_string());
    let admin_id = "00000000-0000-0000-0000-000000000001";
    assert_eq!(lifted["lifted_by"], admin_id);
    let entries = audited(&world, "agent.lift").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["user_id"], admin_id);
    assert_eq!(entries[0]["entity_type"], "agent");
    assert_eq!(entries[0]["entity_id"], suspension["suspension_id"]);
    assert_eq!(entries[0]["details"]["agent"], "monitor");
    assert_eq!(entries[0]["details"]["action_type"], "commands.submit");
    for (query, expected) in [
        ("", 1),
        ("?is_active=true", 0),
        ("?is_active=false", 1),
        ("?agent_name=monitor&is_active=false", 1),
        ("?agent_name=boss", 0),
    ] {
        let found = listed(&admin, &format!("{SUSPENSIONS}{query}")).await;
        assert_eq!(found.len(), expected, "{query}");
    }
}
