use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, Reply, World};

const ACCOUNTS: &str = "/api/v1/service-accounts";
const ME: &str = "/api/v1/auth/me";
const READING: [&str; 3] = ["vehicles.read", "commands.submit", "commands.read"];

fn monitor() -> Value {
    json!({
        "name": "fleet-monitor", "role": "engineer", "permissions": READING,
        "expires_in_days": 90,
    })
}

async fn create(admin: &Client, change: impl FnOnce(&mut Value)) -> Reply {
    let mut body = monitor();
    change(&mut body);
    admin.post(ACCOUNTS, &body).await
}

fn path(issued: &Value) -> String {
    let id = issued["service_account"]["service_account_id"].as_str();
    format!("{ACCOUNTS}/{}", id.unwrap())
}

/// A client with the API key of `issued`.
fn agent(world: &World, issued: &Value) -> Client {
    world.with_token(issued["api_key"].as_str().unwrap())
}

/// A world, its admin, and an account created from a changed [`monitor`].
async fn with_account(change: impl FnOnce(&mut Value)) -> (World, Client, Value) {
    let world = World::with(|settings| {
        settings.auth.remember_seconds = 60;
        settings.agents.allow = vec!["fleet-monitor:commands.submit".to_owned()];
    })
    .await;
    let admin = world.log_in("admin").await;
    let issued = create(&admin, change).await.expect(201);
    (world, admin, issued)
}

#[tokio::test]
async fn key_has_its_permissions_and_is_shown_once() {
    let (world, admin, issued) = with_account(|_| {}).await;
    let key = issued["api_key"].as_str().unwrap();
    assert!(key.starts_with("sovd_"), "{key}");
    let agent = agent(&world, &issued);
    let id = agent.read_dtc().await;
    let command = agent.ended(&id).await;
    assert_eq!(
        command["user_id"],
        issued["service_account"]["service_account_id"]
    );
    agent.get("/api/v1/vehicles").await.expect(200);

    let cancel = format!("/api/v1/commands/{id}/cancel");
    agent
        .post(&cancel, &json!({}))
        .await
        .expect_problem(403, "forbidden");
    agent.get(ME).await.expect_problem(403, "forbidden");
    for path in ["/api/v1/users", ACCOUNTS, "/api/v1/auth/sessions"] {
        agent.get(path).await.expect_problem(403, "forbidden");
    }

    let account = admin.get(&path(&issued)).await.expect(200);
    assert_eq!(account["permissions"], json!(READING));
    assert_eq!(account["last_used_from"], "127.0.0.1");
    assert!(account["last_used_at"].is_string());
    let listed = admin.get(ACCOUNTS).await;
    assert_eq!(listed.headers["x-total-count"], "1");
    assert!(!listed.body.to_string().contains(key));
    assert!(!account.to_string().contains(key));

    let sql = world.sql().await;
    let row = sql.query_one(
        "SELECT to_jsonb(service_accounts)::text FROM service_accounts",
        &[],
    );
    assert!(
        !row.await.unwrap().get::<_, String>(0).contains(key),
        "the key must be stored as a hash"
    );
    let details = "SELECT string_agg(details::text, ' ') FROM audit_logs";
    let row = sql.query_one(details, &[]).await.unwrap();
    assert!(!row.get::<_, String>(0).contains(key));
}

#[tokio::test]
async fn key_is_limited_to_its_vehicles() {
    let (world, _, issued) = with_account(|body| body["vehicle_ids"] = json!([OFFLINE])).await;
    let agent = agent(&world, &issued);
    let vehicles = agent.get("/api/v1/vehicles").await;
    assert_eq!(vehicles.headers["x-total-count"], "1");
    assert_eq!(vehicles.expect(200)[0]["vehicle_id"], OFFLINE);
    let hidden = agent.get(&format!("/api/v1/vehicles/{CONNECTED}")).await;
    hidden.expect_problem(404, "not_found");
    let hidden = agent
        .get(&format!("/api/v1/vehicles/{CONNECTED}/status"))
        .await;
    hidden.expect_problem(404, "not_found");
    let command = json!({
        "vehicle_id": CONNECTED, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    let refused = agent.post("/api/v1/commands", &command).await;
    refused.expect_bad_field(404, "not_found", "/vehicle_id");
    let mine = agent.read_dtc_offline(60).await;
    agent
        .get(&format!("/api/v1/commands/{mine}"))
        .await
        .expect(200);
    let fleet = agent
        .open_at(&format!("/ws/events?vehicle_id={CONNECTED}"))
        .await;
    assert_eq!(fleet.rest().await.1.code, 1008);
}

#[tokio::test]
async fn key_that_reads_all_commands_is_limited_to_its_vehicles() {
    let (world, _, issued) = with_account(|body| {
        body["role"] = json!("admin");
        body["permissions"] = json!(["commands.read", "commands.read_all", "vehicles.read"]);
        body["vehicle_ids"] = json!([OFFLINE]);
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let (hidden, shown) = (
        engineer.read_dtc().await,
        engineer.read_dtc_offline(60).await,
    );
    engineer.ended(&hidden).await;
    let agent = agent(&world, &issued);
    agent
        .get(&format!("/api/v1/commands/{shown}"))
        .await
        .expect(200);
    let list = agent.get("/api/v1/commands").await.expect(200);
    assert_eq!(list["total"], 1);
    assert_eq!(list["commands"][0]["command_id"], shown);
    for path in ["", "/responses", "/events"] {
        let path = format!("/api/v1/commands/{hidden}{path}");
        agent.get(&path).await.expect_problem(404, "not_found");
    }
    assert_eq!(agent.watch(&hidden).await.1.code, 1008);

    let mut events = agent.open_at("/ws/events").await;
    let seen = engineer.read_dtc().await;
    engineer.ended(&seen).await;
    let cancel = format!("/api/v1/commands/{shown}/cancel");
    engineer.post(&cancel, &json!({})).await.expect(200);
    loop {
        let event = events.next().await.unwrap();
        if event["event"] == "command" {
            assert_eq!(event["command_id"], shown);
            break;
        }
    }
}

#[tokio::test]
async fn revocation_ends_requests_and_streams_on_every_node() {
    let (world, admin, issued) = with_account(|_| {}).await;
    let node = world.beside(|_| {}).await;
    let agent = agent(&world, &issued);
    let there = agent.at(node.address());
    there.get("/api/v1/vehicles").await.expect(200);
    let stream = there.open_at("/ws/events").await;
    admin.delete(&path(&issued)).await.expect(204);
    agent
        .get("/api/v1/vehicles")
        .await
        .expect_problem(401, "token_invalid");
    let (_, closing) = stream.rest().await;
    assert_eq!(closing.code, 1008);
    there
        .get("/api/v1/vehicles")
        .await
        .expect_problem(401, "token_invalid");

    admin
        .delete(&path(&issued))
        .await
        .expect_problem(409, "conflict");
    let renewal = json!({ "expires_in_days": 1 });
    let renewed = admin
        .post(&format!("{}/key", path(&issued)), &renewal)
        .await;
    renewed.expect_problem(409, "conflict");
    let account = admin.get(&path(&issued)).await.expect(200);
    assert!(account["revoked_at"].is_string());
}

#[tokio::test]
async fn renewed_key_replaces_the_previous_one() {
    let (world, admin, issued) = with_account(|_| {}).await;
    let old = agent(&world, &issued);
    old.get("/api/v1/vehicles").await.expect(200);
    let renew = format!("{}/key", path(&issued));
    let renewed = admin
        .post(&renew, &json!({ "expires_in_days": 366 }))
        .await
        .expect(200);
    assert_ne!(renewed["api_key"], issued["api_key"]);
    old.get("/api/v1/vehicles")
        .await
        .expect_problem(401, "token_invalid");
    agent(&world, &renewed)
        .get("/api/v1/vehicles")
        .await
        .expect(200);
    for days in [0, 367] {
        let reply = admin
            .post(&renew, &json!({ "expires_in_days": days }))
            .await;
        reply.expect_bad_field(422, "validation_failed", "/expires_in_days");
    }
}

#[tokio::test]
async fn rejects_an_expired_key() {
    let (world, _, issued) = with_account(|_| {}).await;
    let sql = world.sql().await;
    sql.execute("UPDATE service_accounts SET expires_at = now()", &[])
        .await
        .unwrap();
    let agent = agent(&world, &issued);
    agent
        .get("/api/v1/vehicles")
        .await
        .expect_problem(401, "token_invalid");
}

#[tokio::test]
async fn rejects_invalid_keys() {
    let (world, _, issued) = with_account(|_| {}).await;
    let key = issued["api_key"].as_str().unwrap();
    for invalid in [
        "sovd_",
        "sovd_x",
        &key[..key.len() - 1],
        &format!("{key}x"),
        &key.to_uppercase(),
    ] {
        let client = world.with_token(invalid);
        client
            .get("/api/v1/vehicles")
            .await
            .expect_problem(401, "token_invalid");
    }
}

#[tokio::test]
async fn service_account_is_not_a_human_user() {
    let (world, admin, issued) = with_account(|body| body["role"] = json!("admin")).await;
    let body = json!({ "username": "fleet-monitor", "password": "!" });
    let login = world.anonymous().post("/api/v1/auth/login", &body).await;
    login.expect_problem(401, "invalid_credentials");
    let id = issued["service_account"]["service_account_id"]
        .as_str()
        .unwrap();
    let user = format!("/api/v1/users/{id}");
    admin.get(&user).await.expect_problem(404, "not_found");
    let change = json!({ "password": "tightening the nuts" });
    admin
        .patch(&user, &change)
        .await
        .expect_problem(404, "not_found");
    admin.delete(&user).await.expect_problem(404, "not_found");
    let users = admin.get("/api/v1/users").await.expect(200);
    assert!(!users.to_string().contains("fleet-monitor"));
    // It does not count as an admin.
    let own = "/api/v1/users/00000000-0000-0000-0000-000000000001";
    admin.delete(own).await.expect_problem(409, "conflict");
}

#[tokio::test]
async fn validates_every_field() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let many: Vec<&str> = vec![CONNECTED; 1001];
    for (field, bad, pointer) in [
        ("name", json!(""), "/name"),
        ("name", json!("n".repeat(51)), "/name"),
        ("name", json!("Monitor"), "/name"),
        ("role", json!("root"), "/role"),
        ("permissions", json!([]), "/permissions"),
        (
            "permissions",
            json!(vec!["vehicles.read"; 21]),
            "/permissions",
        ),
        ("permissions", json!(["vehicles.write"]), "/permissions/0"),
        (
            "permissions",
            json!(["vehicles.read", "users.manage"]),
            "/permissions/1",
        ),
        (
            "permissions",
            json!(["service_accounts.manage"]),
            "/permissions/0",
        ),
        ("permissions", json!(["account.manage"]), "/permissions/0"),
        (
            "permissions",
            json!(["commands.read_all"]),
            "/permissions/0",
        ),
        ("permissions", json!(["vehicles.manage"]), "/permissions/0"),
        ("vehicle_ids", json!([]), "/vehicle_ids"),
        ("vehicle_ids", json!(["x"]), "/vehicle_ids/0"),
        ("vehicle_ids", json!(many), "/vehicle_ids"),
        ("expires_in_days", json!(0), "/expires_in_days"),
        ("expires_in_days", json!(367), "/expires_in_days"),
        ("api_key", json!("sovd_mine"), "/api_key"),
    ] {
        let reply = create(&admin, |body| body[field] = bad).await;
        reply.expect_bad_field(422, "validation_failed", pointer);
    }
    for fleet_wide in ["audit.read", "vehicles.manage"] {
        create(&admin, |body| {
            body["role"] = json!("admin");
            body["permissions"] = json!([fleet_wide]);
            body["vehicle_ids"] = json!([CONNECTED]);
        })
        .await
        .expect_bad_field(422, "validation_failed", "/permissions/0");
    }
    let create_manager = |permissions: Value| {
        create(&admin, move |body| {
            body["name"] = json!("workshop");
            body["role"] = json!("service");
            body["permissions"] = permissions;
        })
    };
    create_manager(json!(["bookings.read", "bookings.manage"]))
        .await
        .expect_bad_field(422, "validation_failed", "/permissions/1");
    create_manager(json!(["bookings.manage", "bookings.book"]))
        .await
        .expect(201);
    let largest = create(&admin, |body| {
        body["name"] = json!("n".repeat(50));
        body["permissions"] = json!(vec!["vehicles.read"; 20]);
        body["vehicle_ids"] = json!(many[..1000]);
        body["expires_in_days"] = json!(366);
    });
    largest.await.expect(201);
    create(&admin, |body| body["name"] = json!("engineer"))
        .await
        .expect_bad_field(409, "conflict", "/name");
    create(&admin, |_| {}).await.expect(201);
    create(&admin, |_| {})
        .await
        .expect_bad_field(409, "conflict", "/name");
}

#[tokio::test]
async fn audits_every_change() {
    let (world, admin, issued) = with_account(|_| {}).await;
    let renew = format!("{}/key", path(&issued));
    admin
        .post(&renew, &json!({ "expires_in_days": 1 }))
        .await
        .expect(200);
    admin.delete(&path(&issued)).await.expect(204);
    let sql = "SELECT action, details->>'name' FROM audit_logs
               WHERE entity_type = 'service_account' ORDER BY timestamp";
    let rows = world.sql().await.query(sql, &[]).await.unwrap();
    let actions: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let expected = [
        "service_account.create",
        "service_account.renew_key",
        "service_account.revoke",
    ];
    assert_eq!(actions, expected);
    assert_eq!(rows[0].get::<_, Option<&str>>(1), Some("fleet-monitor"));
}

#[tokio::test]
async fn fleet_events_omit_commands_the_key_cannot_read() {
    let (world, _, issued) =
        with_account(|body| body["permissions"] = json!(["vehicles.read", "commands.submit"]))
            .await;
    let agent = agent(&world, &issued);
    let mut events = agent.open_at("/ws/events").await;
    agent.read_dtc().await;
    let lost = "UPDATE vehicles SET connection_status = 'error'";
    world.sql().await.execute(lost, &[]).await.unwrap();
    loop {
        let event = events.next().await.unwrap();
        assert_ne!(event["event"], "command");
        if event["event"] == "vehicle" {
            break;
        }
    }
}
