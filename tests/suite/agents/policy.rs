use serde_json::{Value, json};
use sovd_app::{Application, Settings};
use sovd_tests::{CONNECTED, Client, NO_MARKER, World};

use crate::maintenance::bookings::{book, moment};

pub(crate) const LOGS: &str = "/api/v1/ueba-logs";
pub(crate) const SUSPENSIONS: &str = "/api/v1/agent-suspensions";
pub(crate) const VEHICLES: &str = "/api/v1/vehicles";
pub(crate) const COMMANDS: &str = "/api/v1/commands";

/// Starts the program with these entries in `agents.allow`.
pub(crate) async fn allowing(allow: &[&str]) -> World {
    let allow = allow.iter().map(|text| (*text).to_owned()).collect();
    World::with(|settings| settings.agents.allow = allow).await
}

/// Creates a service account of role engineer with these permissions, for all vehicles.
pub(crate) async fn machine(world: &World, name: &str, permissions: &[&str]) -> Client {
    machine_as(
        world,
        json!({
            "name": name, "role": "engineer", "permissions": permissions, "expires_in_days": 1,
        }),
    )
    .await
}

pub(crate) async fn machine_as(world: &World, account: Value) -> Client {
    let admin = world.log_in("admin").await;
    let issued = admin
        .post("/api/v1/service-accounts", &account)
        .await
        .expect(201);
    let mut machine = world.anonymous();
    machine.token = issued["api_key"].as_str().map(str::to_owned);
    machine
}

pub(crate) fn reading(vehicle_id: &str) -> Value {
    json!({
        "vehicle_id": vehicle_id, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    })
}

pub(crate) async fn listed(admin: &Client, path: &str) -> Vec<Value> {
    let list = admin.get(path).await.expect(200);
    list.as_array().unwrap().clone()
}

/// Returns the kind, the target and the status of each log entry, oldest first.
pub(crate) async fn logged(world: &World) -> Vec<(String, String, String)> {
    let admin = world.log_in("admin").await;
    let entries = listed(&admin, LOGS).await;
    let entry = |entry: &Value| {
        let [action_type, target, status] =
            ["action_type", "target_node", "status"].map(|field| entry[field].as_str().unwrap());
        log_entry(action_type, target, status)
    };
    entries.iter().rev().map(entry).collect()
}

pub(crate) fn log_entry(action_type: &str, target: &str, status: &str) -> (String, String, String) {
    (action_type.to_owned(), target.to_owned(), status.to_owned())
}

pub(crate) async fn audited(world: &World, action: &str) -> Vec<Value> {
    let sql = format!(
        "SELECT to_jsonb(audit_logs) FROM audit_logs WHERE action = $1 AND {NO_MARKER}
         ORDER BY timestamp"
    );
    let rows = world.sql().await.query(&sql, &[&action]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Attempts to submit a command without the permission, `count` times.
pub(crate) async fn attempt_blocked(machine: &Client, count: usize) {
    for _ in 0..count {
        machine
            .post(COMMANDS, &reading(CONNECTED))
            .await
            .expect_problem(403, "forbidden");
    }
}

#[track_caller]
pub(crate) fn expect_suspended(problem: &Value) {
    let detail = "this agent is suspended from this action until an admin lifts the suspension";
    assert_eq!(problem["detail"], detail);
}

#[tokio::test]
async fn logs_every_call_of_an_agent() {
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
        log_entry("vehicles.read", "GET /api/v1/vehicles", "ALLOWED"),
        log_entry("commands.submit", "POST /api/v1/commands", "ALLOWED"),
        log_entry(
            "commands.read",
            &format!("GET /ws/responses/{id}"),
            "ALLOWED",
        ),
        log_entry(
            "commands.read",
            &format!("GET /api/v1/commands/{id}/events"),
            "ALLOWED",
        ),
        log_entry("vehicles.read", "GET /ws/events", "ALLOWED"),
        log_entry("commands.read", "news of commands", "ALLOWED"),
        log_entry("commands.read", &format!("GET {nothing}"), "ALLOWED"),
    ];
    assert_eq!(logged(&world).await, expected);
    let admin = world.log_in("admin").await;
    for entry in listed(&admin, LOGS).await {
        assert_eq!(entry["agent_name"], "monitor");
        assert_eq!(entry["source_node"], "127.0.0.1");
        let fields: Vec<&String> = entry.as_object().unwrap().keys().collect();
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
async fn does_not_log_human_users() {
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
        .anonymous()
        .get(VEHICLES)
        .await
        .expect_problem(401, "not_authenticated");
    assert_eq!(logged(&world).await, []);
    let admin = world.log_in("admin").await;
    assert!(listed(&admin, SUSPENSIONS).await.is_empty());
}

#[tokio::test]
async fn changes_require_the_policy_but_reading_does_not() {
    let world = allowing(&["robot:commands.submit", "monitor:commands.cancel"]).await;
    let permissions = ["vehicles.read", "commands.submit"];
    let monitor = machine(&world, "monitor", &permissions).await;
    monitor.get(VEHICLES).await.expect(200);
    let refused = monitor.post(COMMANDS, &reading(CONNECTED)).await;
    let problem = refused.expect_problem(403, "forbidden");
    let detail = "this agent is not allowed to perform this action";
    assert_eq!(problem["detail"], detail);
    // The policy does not extend the scope of a key.
    let refused = monitor
        .post(&format!("{COMMANDS}/{CONNECTED}/cancel"), &json!({}))
        .await;
    let problem = refused.expect_problem(403, "forbidden");
    assert_eq!(problem["detail"], "the key does not cover this");
    let robot = machine(&world, "robot", &permissions).await;
    robot.read_dtc().await;

    let expected = [
        log_entry("vehicles.read", "GET /api/v1/vehicles", "ALLOWED"),
        log_entry("commands.submit", "POST /api/v1/commands", "BLOCKED"),
        log_entry(
            "commands.cancel",
            &format!("POST /api/v1/commands/{CONNECTED}/cancel"),
            "BLOCKED",
        ),
        log_entry("commands.submit", "POST /api/v1/commands", "ALLOWED"),
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
async fn blocks_and_logs_a_websocket_outside_the_key() {
    let world = World::start().await;
    let monitor = machine(&world, "monitor", &["account.read"]).await;
    let anonymous = world.anonymous();
    // Authorization precedes validation.
    for path in [
        format!("/ws/responses/{CONNECTED}"),
        format!("/ws/responses/{CONNECTED}?after=-1"),
        "/ws/responses/x".to_owned(),
        "/ws/events".to_owned(),
        "/ws/events?vehicle_id=x".to_owned(),
    ] {
        let closing = anonymous.open_at(&path).await.rest().await.1;
        assert!(
            closing.reason.starts_with("not_authenticated"),
            "{closing:?}"
        );
        let closing = monitor.open_at(&path).await.rest().await.1;
        assert_eq!(closing.code, 1008);
        assert_eq!(closing.reason, "forbidden: the key does not cover this");
    }
    let watching = format!("GET /ws/responses/{CONNECTED}");
    let expected = [
        log_entry("commands.read", &watching, "BLOCKED"),
        log_entry("commands.read", &watching, "BLOCKED"),
        log_entry("commands.read", "GET /ws/responses/x", "BLOCKED"),
        log_entry("vehicles.read", "GET /ws/events", "BLOCKED"),
        log_entry("vehicles.read", "GET /ws/events", "BLOCKED"),
    ];
    assert_eq!(logged(&world).await, expected);
}

#[tokio::test]
async fn a_command_outside_the_role_is_a_blocked_attempt() {
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
        log_entry("commands.submit", "POST /api/v1/commands", "ALLOWED"),
        log_entry("commands.submit", "command ClearDTC", "BLOCKED"),
    ];
    assert_eq!(logged(&world).await, expected);
}

#[tokio::test]
async fn additional_permissions_require_the_policy_too() {
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
        log_entry("bookings.book", &call, "ALLOWED"),
        log_entry("bookings.manage", &target, "BLOCKED"),
        log_entry("bookings.book", &call, "ALLOWED"),
        log_entry("bookings.manage", &target, "ALLOWED"),
    ];
    assert_eq!(logged(&world).await, expected);
}

#[tokio::test]
async fn rejects_calls_that_cannot_be_logged() {
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
fn validates_the_agent_policy_before_startup() {
    let with = |allow: &str| {
        let mut settings = Settings::for_tests("postgres://localhost/db", None);
        settings.agents.allow = vec![allow.to_owned()];
        Application::check(&settings).map_err(|error| error.to_string())
    };
    assert_eq!(with("monitor:commands.submit"), Ok(()));
    for (allow, reason) in [
        ("monitor:commands.send", "which is not a permission"),
        ("monitor:vehicles.read", "needs no entry"),
        ("monitor:users.manage", "a service account cannot have"),
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
