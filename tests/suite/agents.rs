use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_app::{Application, Settings};
use sovd_tests::{CONNECTED, Client, OFFLINE, World};

use crate::bookings::{book, moment};

const LOGS: &str = "/api/v1/ueba-logs";
const SUSPENSIONS: &str = "/api/v1/agent-suspensions";
const VEHICLES: &str = "/api/v1/vehicles";
const COMMANDS: &str = "/api/v1/commands";

/// A world in which agents may do this.
async fn allowing(allow: &[&str]) -> World {
    let allow = allow.iter().map(|text| (*text).to_owned()).collect();
    World::with(|settings| settings.agents.allow = allow).await
}

/// An engineer's machine whose key opens these permissions, for all vehicles.
async fn machine(world: &World, name: &str, permissions: &[&str]) -> Client {
    machine_as(
        world,
        json!({
            "name": name, "role": "engineer", "permissions": permissions, "expires_in_days": 1,
        }),
    )
    .await
}

async fn machine_as(world: &World, account: Value) -> Client {
    let admin = world.log_in("admin").await;
    let issued = admin
        .post("/api/v1/service-accounts", &account)
        .await
        .expect(201);
    let mut machine = world.stranger();
    machine.token = issued["api_key"].as_str().map(str::to_owned);
    machine
}

fn reading(vehicle_id: &str) -> Value {
    json!({
        "vehicle_id": vehicle_id, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    })
}

async fn listed(admin: &Client, path: &str) -> Vec<Value> {
    let list = admin.get(path).await.expect(200);
    list.as_array().unwrap().clone()
}

/// The kind, the target and the status of each line, oldest first.
async fn logged(world: &World) -> Vec<(String, String, String)> {
    let admin = world.log_in("admin").await;
    let lines = listed(&admin, LOGS).await;
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    let line = |line: &Value| {
        (
            text(line, "action_type"),
            text(line, "target_node"),
            text(line, "status"),
        )
    };
    lines.iter().rev().map(line).collect()
}

fn line(action_type: &str, target: &str, status: &str) -> (String, String, String) {
    (action_type.to_owned(), target.to_owned(), status.to_owned())
}

async fn audited(world: &World, action: &str) -> Vec<Value> {
    let sql = "SELECT to_jsonb(audit_logs) FROM audit_logs WHERE action = $1 ORDER BY timestamp";
    let rows = world.sql().await.query(sql, &[&action]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Tries in vain to send a command, so many times one after the other.
async fn try_in_vain(machine: &Client, times: usize) {
    for _ in 0..times {
        machine
            .post(COMMANDS, &reading(CONNECTED))
            .await
            .expect_problem(403, "forbidden");
    }
}

#[track_caller]
fn expect_suspended(problem: &Value) {
    let detail = "this agent is suspended from this until an admin lifts it";
    assert_eq!(problem["detail"], detail);
}

#[tokio::test]
async fn every_call_of_an_agent_is_logged_with_its_fields() {
    let world = allowing(&["monitor:commands.submit"]).await;
    let permissions = ["vehicles.read", "commands.submit", "commands.read"];
    let monitor = machine(&world, "monitor", &permissions).await;
    monitor
        .get("/api/v1/vehicles?search=secret")
        .await
        .expect(200);
    let id = monitor.read_dtc().await;
    monitor.watch(&id).await;
    let mut events = monitor.listen(&id, None).await.unwrap();
    while events.next().await.is_some() {}
    let socket = monitor
        .open_at(&format!("/ws/events?vehicle_id={CONNECTED}"))
        .await;
    drop(socket);
    let nothing = "/api/v1/commands/00000000-0000-0000-0000-00000000ffff";
    monitor.get(nothing).await.expect_problem(404, "not_found");

    let expected = [
        line("vehicles.read", "GET /api/v1/vehicles", "ALLOWED"),
        line("commands.submit", "POST /api/v1/commands", "ALLOWED"),
        line(
            "commands.read",
            &format!("GET /ws/responses/{id}"),
            "ALLOWED",
        ),
        line(
            "commands.read",
            &format!("GET /api/v1/commands/{id}/events"),
            "ALLOWED",
        ),
        line("vehicles.read", "GET /ws/events", "ALLOWED"),
        line("commands.read", &format!("GET {nothing}"), "ALLOWED"),
    ];
    assert_eq!(logged(&world).await, expected);
    let admin = world.log_in("admin").await;
    for line in listed(&admin, LOGS).await {
        assert_eq!(line["agent_name"], "monitor");
        assert_eq!(line["source_node"], "127.0.0.1");
        let fields: Vec<&String> = line.as_object().unwrap().keys().collect();
        let expected = [
            "action_type",
            "agent_name",
            "id",
            "source_node",
            "status",
            "target_node",
            "timestamp",
        ];
        assert_eq!(fields, expected);
    }
}

#[tokio::test]
async fn people_are_not_logged_whatever_they_try() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    engineer.ended(&id).await;
    for _ in 0..7 {
        engineer
            .get("/api/v1/users")
            .await
            .expect_problem(403, "forbidden");
    }
    let other = world.log_in("other").await;
    let theirs = format!("{COMMANDS}/{id}");
    other.get(&theirs).await.expect_problem(404, "not_found");
    world
        .stranger()
        .get(VEHICLES)
        .await
        .expect_problem(401, "not_authenticated");
    assert_eq!(logged(&world).await, []);
    let admin = world.log_in("admin").await;
    assert!(listed(&admin, SUSPENSIONS).await.is_empty());
}

#[tokio::test]
async fn what_changes_something_needs_leave_and_reading_needs_none() {
    let world = allowing(&["robot:commands.submit", "monitor:commands.cancel"]).await;
    let permissions = ["vehicles.read", "commands.submit"];
    let monitor = machine(&world, "monitor", &permissions).await;
    monitor.get(VEHICLES).await.expect(200);
    let refused = monitor.post(COMMANDS, &reading(CONNECTED)).await;
    let problem = refused.expect_problem(403, "forbidden");
    let detail = "this is not among the actions that are allowed to this agent";
    assert_eq!(problem["detail"], detail);
    // Leave does not widen a key.
    let refused = monitor
        .post(&format!("{COMMANDS}/{CONNECTED}/cancel"), &json!({}))
        .await;
    let problem = refused.expect_problem(403, "forbidden");
    assert_eq!(problem["detail"], "the key does not cover this");
    let robot = machine(&world, "robot", &permissions).await;
    robot.read_dtc().await;

    let expected = [
        line("vehicles.read", "GET /api/v1/vehicles", "ALLOWED"),
        line("commands.submit", "POST /api/v1/commands", "BLOCKED"),
        line(
            "commands.cancel",
            &format!("POST /api/v1/commands/{CONNECTED}/cancel"),
            "BLOCKED",
        ),
        line("commands.submit", "POST /api/v1/commands", "ALLOWED"),
    ];
    assert_eq!(logged(&world).await, expected);
    let commands: i64 = world
        .sql()
        .await
        .query_one("SELECT count(*) FROM commands", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(commands, 1);
}

#[tokio::test]
async fn a_socket_that_a_key_does_not_cover_is_blocked_and_logged() {
    let world = World::start().await;
    let monitor = machine(&world, "monitor", &["account.read"]).await;
    for path in [
        format!("/ws/responses/{CONNECTED}"),
        "/ws/events".to_owned(),
    ] {
        let closing = monitor.open_at(&path).await.rest().await.1;
        assert_eq!(closing.code, 1008);
        assert_eq!(closing.reason, "forbidden: the key does not cover this");
    }
    let expected = [
        line(
            "commands.read",
            &format!("GET /ws/responses/{CONNECTED}"),
            "BLOCKED",
        ),
        line("vehicles.read", "GET /ws/events", "BLOCKED"),
    ];
    assert_eq!(logged(&world).await, expected);
}

#[tokio::test]
async fn a_command_that_the_role_may_not_send_is_a_blocked_attempt() {
    let world = allowing(&["garage:commands.submit"]).await;
    let garage = machine_as(
        &world,
        json!({
            "name": "garage", "role": "service", "permissions": ["commands.submit"],
            "expires_in_days": 1,
        }),
    )
    .await;
    let mut command = reading(CONNECTED);
    command["command_name"] = json!("ClearDTC");
    let refused = garage.post(COMMANDS, &command).await;
    refused.expect_problem(403, "forbidden");
    let expected = [
        line("commands.submit", "POST /api/v1/commands", "ALLOWED"),
        line("commands.submit", "command ClearDTC", "BLOCKED"),
    ];
    assert_eq!(logged(&world).await, expected);
}

#[tokio::test]
async fn what_needs_a_further_permission_needs_leave_for_that_too() {
    let world = allowing(&[
        "caller:bookings.book",
        "garage:bookings.book",
        "garage:bookings.manage",
    ])
    .await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    let booking = book(&service, CONNECTED, time, |_| {}).await.expect(201);
    let id = booking["id"].as_str().unwrap();
    let path = format!("/api/v1/bookings/{id}");
    let account = |name: &str| {
        json!({
            "name": name, "role": "service", "expires_in_days": 1,
            "permissions": ["bookings.book", "bookings.manage"],
        })
    };
    let confirm = json!({ "status": "CONFIRMED" });
    let caller = machine_as(&world, account("caller")).await;
    let refused = caller.patch(&path, &confirm).await;
    refused.expect_problem(403, "forbidden");
    let garage = machine_as(&world, account("garage")).await;
    garage.patch(&path, &confirm).await.expect(200);
    let (call, target) = (format!("PATCH {path}"), format!("booking {id}"));
    let expected = [
        line("bookings.book", &call, "ALLOWED"),
        line("bookings.manage", &target, "BLOCKED"),
        line("bookings.book", &call, "ALLOWED"),
        line("bookings.manage", &target, "ALLOWED"),
    ];
    assert_eq!(logged(&world).await, expected);
}

#[tokio::test]
async fn one_blocked_attempt_too_many_suspends_from_that_kind_of_action_only() {
    let world = World::start().await;
    let permissions = ["vehicles.read", "commands.submit", "commands.read"];
    let monitor = machine(&world, "monitor", &permissions).await;
    let admin = world.log_in("admin").await;
    try_in_vain(&monitor, 5).await;
    assert!(listed(&admin, SUSPENSIONS).await.is_empty());
    assert!(audited(&world, "agent.suspend").await.is_empty());
    try_in_vain(&monitor, 1).await;

    let suspensions = listed(&admin, SUSPENSIONS).await;
    assert_eq!(suspensions.len(), 1);
    let suspension = &suspensions[0];
    assert_eq!(suspension["agent_name"], "monitor");
    assert_eq!(suspension["action_type"], "commands.submit");
    assert_eq!(suspension["blocked_attempts"], 6);
    assert!(suspension["suspended_at"].is_string());
    assert_eq!(suspension["lifted_at"], Value::Null);
    assert_eq!(suspension["lifted_by"], Value::Null);
    let lines = audited(&world, "agent.suspend").await;
    assert_eq!(lines.len(), 1);
    let details = json!({
        "agent": "monitor", "action_type": "commands.submit", "attempts": 6, "minutes": 10,
    });
    assert_eq!(lines[0]["details"], details);
    assert_eq!(lines[0]["entity_type"], "agent");
    assert_eq!(lines[0]["entity_id"], suspension["suspension_id"]);
    assert_eq!(lines[0]["ip_address"], "127.0.0.1");

    try_in_vain(&monitor, 7).await;
    assert_eq!(listed(&admin, SUSPENSIONS).await.len(), 1);
    assert_eq!(audited(&world, "agent.suspend").await.len(), 1);
    monitor.get(VEHICLES).await.expect(200);
    monitor.get(COMMANDS).await.expect(200);
    let robot = machine(&world, "robot", &permissions).await;
    robot.get(VEHICLES).await.expect(200);
}

#[tokio::test]
async fn a_suspended_agent_does_not_even_read_until_an_admin_lifts_it() {
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
    // Only what comes after the lifting counts.
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
async fn things_that_a_key_is_not_for_are_blocked_attempts_that_name_them() {
    let world = allowing(&["monitor:commands.submit"]).await;
    let account = json!({
        "name": "monitor", "role": "engineer",
        "permissions": ["vehicles.read", "commands.submit", "commands.read"],
        "vehicle_ids": [OFFLINE], "expires_in_days": 1,
    });
    let monitor = machine_as(&world, account).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc_later(3600).await;
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
        line("vehicles.read", &vehicle, "BLOCKED"),
        line("commands.submit", &vehicle, "BLOCKED"),
        line("commands.read", &command, "BLOCKED"),
        line("vehicles.read", &vehicle, "BLOCKED"),
        line("commands.read", &command, "BLOCKED"),
    ];
    assert_eq!(blocked, expected);
    assert_eq!(logged(&world).await.len(), 10);
}

/// Tries so many times at once, on two nodes in turn; gives how many suspensions and how many lines in
/// the audit trail come of it.
async fn storm(attempts: usize) -> (usize, usize) {
    let world = World::start().await;
    let node = world.beside(|_| {}).await;
    let here = machine(&world, "monitor", &["vehicles.read"]).await;
    let there = here.at(node.address());
    let body = reading(CONNECTED);
    let nodes = [&here, &there].into_iter().cycle();
    let storm = nodes
        .take(attempts)
        .map(|client| client.post(COMMANDS, &body));
    for reply in join_all(storm).await {
        reply.expect_problem(403, "forbidden");
    }
    assert_eq!(logged(&world).await.len(), attempts);
    let admin = world.log_in("admin").await;
    let suspensions = listed(&admin, SUSPENSIONS).await;
    if let Some(suspension) = suspensions.first() {
        assert_eq!(suspension["blocked_attempts"], 6);
    }
    let lines = audited(&world, "agent.suspend").await.len();
    (suspensions.len(), lines)
}

#[tokio::test]
async fn as_many_attempts_at_once_as_are_borne_suspend_nobody() {
    assert_eq!(storm(5).await, (0, 0));
}

#[tokio::test]
async fn one_more_at_once_on_two_nodes_suspends_once() {
    assert_eq!(storm(6).await, (1, 1));
}

#[tokio::test]
async fn many_more_at_once_on_two_nodes_suspend_once() {
    assert_eq!(storm(30).await, (1, 1));
}

#[tokio::test]
async fn a_suspension_is_lifted_once_by_an_admin_and_the_trail_tells_of_it() {
    let world = allowing(&["boss:agents.record"]).await;
    let monitor = machine(&world, "monitor", &["vehicles.read"]).await;
    try_in_vain(&monitor, 6).await;
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
    let lines = audited(&world, "agent.lift").await;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["user_id"], admin_id);
    assert_eq!(lines[0]["entity_type"], "agent");
    assert_eq!(lines[0]["entity_id"], suspension["suspension_id"]);
    assert_eq!(lines[0]["details"]["agent"], "monitor");
    assert_eq!(lines[0]["details"]["action_type"], "commands.submit");
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

fn elsewhere() -> Value {
    json!({ "agent_name": "line-robot", "action_type": "firmware.flash", "status": "BLOCKED" })
}

#[tokio::test]
async fn what_agents_elsewhere_did_is_recorded_and_counts() {
    let world = World::with(|settings| settings.agents.blocked_attempts = 1).await;
    let admin = world.log_in("admin").await;
    let mut body = elsewhere();
    body["source_node"] = json!("plant 4");
    body["target_node"] = json!("VIN123456789");
    let recorded = admin.post(LOGS, &body).await.expect(201);
    assert_eq!(listed(&admin, LOGS).await, std::slice::from_ref(&recorded));
    for field in body.as_object().unwrap().keys() {
        assert_eq!(recorded[field], body[field]);
    }
    let mut allowed = elsewhere();
    allowed["status"] = json!("ALLOWED");
    let allowed = admin.post(LOGS, &allowed).await.expect(201);
    assert_eq!(allowed["source_node"], Value::Null);
    assert!(listed(&admin, SUSPENSIONS).await.is_empty());
    admin.post(LOGS, &elsewhere()).await.expect(201);
    let suspensions = listed(&admin, SUSPENSIONS).await;
    assert_eq!(suspensions.len(), 1);
    assert_eq!(suspensions[0]["agent_name"], "line-robot");
    assert_eq!(suspensions[0]["action_type"], "firmware.flash");
    assert_eq!(audited(&world, "agent.suspend").await.len(), 1);
    let lines = audited(&world, "agent.record").await;
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["entity_id"], recorded["id"]);
    assert_eq!(lines[0]["details"]["status"], "BLOCKED");
}

#[tokio::test]
async fn every_field_of_a_record_has_edges() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for (field, good, bad) in [
        ("agent_name", json!("n".repeat(50)), json!("n".repeat(51))),
        ("agent_name", json!("n"), json!("")),
        (
            "action_type",
            json!("a".repeat(100)),
            json!("a".repeat(101)),
        ),
        ("action_type", json!("a"), json!("")),
        (
            "source_node",
            json!("ä".repeat(500)),
            json!("ä".repeat(501)),
        ),
        ("source_node", json!("s"), json!("")),
        (
            "target_node",
            json!("t".repeat(500)),
            json!("t".repeat(501)),
        ),
        ("target_node", json!("t"), json!("")),
        ("status", json!("ALLOWED"), json!("allowed")),
        ("agent_name", json!("n"), Value::Null),
        ("status", json!("BLOCKED"), Value::Null),
    ] {
        let mut body = elsewhere();
        body[field] = good;
        let recorded = admin.post(LOGS, &body).await.expect(201);
        assert_eq!(recorded[field], body[field]);
        body[field] = bad;
        let refused = admin.post(LOGS, &body).await;
        refused.expect_bad_field(422, "validation_failed", &format!("/{field}"));
    }
    for field in ["agent_name", "action_type", "status"] {
        let mut body = elsewhere();
        body.as_object_mut().unwrap().remove(field);
        let refused = admin.post(LOGS, &body).await;
        refused.expect_bad_field(422, "validation_failed", &format!("/{field}"));
    }
    let mut body = elsewhere();
    body["timestamp"] = json!("2020-01-01T00:00:00Z");
    let refused = admin.post(LOGS, &body).await;
    refused.expect_bad_field(422, "validation_failed", "/timestamp");
}

#[tokio::test]
async fn the_log_is_filtered_and_paged() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let fill = "INSERT INTO ueba_logs (agent_name, action_type, status, timestamp)
                SELECT CASE n % 2 WHEN 0 THEN 'even' ELSE 'odd' END, 'count.' || n,
                       CASE n WHEN 3 THEN 'BLOCKED' ELSE 'ALLOWED' END,
                       timestamptz '2026-01-01' + interval '1 s' * n
                FROM generate_series(1, 5) n";
    world.sql().await.execute(fill, &[]).await.unwrap();
    for (query, expected) in [
        ("", vec![5, 4, 3, 2, 1]),
        ("?status=BLOCKED", vec![3]),
        ("?agent_name=odd", vec![5, 3, 1]),
        ("?action_type=count.4", vec![4]),
        ("?start_date=2026-01-01T00:00:04Z", vec![5, 4]),
        ("?end_date=2026-01-01T00:00:02Z", vec![2, 1]),
        ("?agent_name=odd&status=ALLOWED", vec![5, 1]),
        ("?limit=2&offset=1", vec![4, 3]),
        ("?agent_name=nobody", vec![]),
    ] {
        let found = listed(&admin, &format!("{LOGS}{query}")).await;
        let kinds: Vec<&str> = found
            .iter()
            .map(|line| line["action_type"].as_str().unwrap())
            .collect();
        let expected: Vec<String> = expected.iter().map(|n| format!("count.{n}")).collect();
        assert_eq!(kinds, expected, "{query}");
    }
    let page = admin.get(&format!("{LOGS}?limit=2")).await;
    assert_eq!(page.headers["x-total-count"], "5");
    assert!(page.headers["link"].to_str().unwrap().contains("next"));
    for list in [LOGS, SUSPENSIONS] {
        for query in ["limit=0", "limit=101", "offset=-1"] {
            let field = format!("/{}", query.split_once('=').unwrap().0);
            let refused = admin.get(&format!("{list}?{query}")).await;
            refused.expect_bad_field(422, "validation_failed", &field);
        }
        let refused = admin.get(&format!("{list}?agent=x")).await;
        refused.expect_problem(400, "malformed_request");
        admin.get(&format!("{list}?limit=100")).await.expect(200);
    }
    for (path, field) in [
        (format!("{LOGS}?status=allowed"), "/status"),
        (format!("{LOGS}?start_date=today"), "/start_date"),
        (format!("{SUSPENSIONS}?is_active=yes"), "/is_active"),
    ] {
        let refused = admin.get(&path).await;
        refused.expect_bad_field(400, "malformed_request", field);
    }
}

#[tokio::test]
async fn what_cannot_be_logged_is_not_done() {
    let world = allowing(&["monitor:commands.submit"]).await;
    let monitor = machine(&world, "monitor", &["commands.submit"]).await;
    let mut sql = world.sql().await;
    let lock = sql.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE ueba_logs").await.unwrap();
    let refused = monitor.post(COMMANDS, &reading(CONNECTED)).await;
    refused.expect_problem(503, "unavailable");
    lock.rollback().await.unwrap();
    let commands = sql.query_one("SELECT count(*) FROM commands", &[]).await;
    assert_eq!(commands.unwrap().get::<_, i64>(0), 0);
    monitor.read_dtc().await;
}

#[test]
fn what_agents_may_do_is_checked_before_the_start() {
    let with = |allow: &str| {
        let mut settings = Settings::for_tests("postgres://localhost/db", None);
        settings.agents.allow = vec![allow.to_owned()];
        Application::check(&settings).map_err(|error| error.to_string())
    };
    assert_eq!(with("monitor:commands.submit"), Ok(()));
    for (allow, reason) in [
        ("monitor:commands.send", "which is no permission"),
        ("monitor:vehicles.read", "needs no leave"),
        ("monitor:users.manage", "no key opens"),
    ] {
        let error = with(allow).unwrap_err();
        assert!(error.starts_with("agents.allow: "), "{error}");
        assert!(error.contains(reason), "{error}");
        assert!(
            error.contains("one of vehicles.manage, commands.submit"),
            "{error}"
        );
    }
}
