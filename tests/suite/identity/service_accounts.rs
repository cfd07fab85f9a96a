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

/// Whoever holds the key.
fn holder(world: &World, issued: &Value) -> Client {
    let mut client = world.stranger();
    client.token = issued["api_key"].as_str().map(str::to_owned);
    client
}

/// A world, its admin, and an account that was made with a change to [`monitor`].
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
async fn a_key_opens_what_it_was_made_for_and_is_shown_once() {
    let (world, admin, issued) = with_account(|_| {}).await;
    let key = issued["api_key"].as_str().unwrap();
    assert!(key.starts_with("sovd_"), "{key}");
    let machine = holder(&world, &issued);
    let id = machine.read_dtc().await;
    let command = machine.ended(&id).await;
    assert_eq!(
        command["user_id"],
        issued["service_account"]["service_account_id"]
    );
    machine.get("/api/v1/vehicles").await.expect(200);

    let cancel = format!("/api/v1/commands/{id}/cancel");
    machine
        .post(&cancel, &json!({}))
        .await
        .expect_problem(403, "forbidden");
    machine.get(ME).await.expect_problem(403, "forbidden");
    for path in ["/api/v1/users", ACCOUNTS, "/api/v1/auth/sessions"] {
        machine.get(path).await.expect_problem(403, "forbidden");
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
        "only its hash is stored"
    );
    let lines = "SELECT string_agg(details::text, ' ') FROM audit_logs";
    let row = sql.query_one(lines, &[]).await.unwrap();
    assert!(!row.get::<_, String>(0).contains(key));
}

#[tokio::test]
async fn a_key_for_some_vehicles_knows_of_no_other() {
    let (world, _, issued) = with_account(|body| body["vehicle_ids"] = json!([OFFLINE])).await;
    let machine = holder(&world, &issued);
    let vehicles = machine.get("/api/v1/vehicles").await;
    assert_eq!(vehicles.headers["x-total-count"], "1");
    assert_eq!(vehicles.expect(200)[0]["vehicle_id"], OFFLINE);
    let hidden = machine.get(&format!("/api/v1/vehicles/{CONNECTED}")).await;
    hidden.expect_problem(404, "not_found");
    let hidden = machine
        .get(&format!("/api/v1/vehicles/{CONNECTED}/status"))
        .await;
    hidden.expect_problem(404, "not_found");
    let command = json!({
        "vehicle_id": CONNECTED, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    let refused = machine.post("/api/v1/commands", &command).await;
    refused.expect_bad_field(404, "not_found", "/vehicle_id");
    let mine = machine.read_dtc_later(60).await;
    machine
        .get(&format!("/api/v1/commands/{mine}"))
        .await
        .expect(200);
    let fleet = machine
        .open_at(&format!("/ws/events?vehicle_id={CONNECTED}"))
        .await;
    assert_eq!(fleet.rest().await.1.code, 1008);
}

#[tokio::test]
async fn a_key_that_reads_all_commands_still_keeps_to_its_vehicles() {
    let (world, _, issued) = with_account(|body| {
        body["role"] = json!("admin");
        body["permissions"] = json!(["commands.read", "commands.read_all", "vehicles.read"]);
        body["vehicle_ids"] = json!([OFFLINE]);
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let (hidden, shown) = (engineer.read_dtc().await, engineer.read_dtc_later(60).await);
    engineer.ended(&hidden).await;
    let machine = holder(&world, &issued);
    machine
        .get(&format!("/api/v1/commands/{shown}"))
        .await
        .expect(200);
    let list = machine.get("/api/v1/commands").await.expect(200);
    assert_eq!(list["total"], 1);
    assert_eq!(list["commands"][0]["command_id"], shown);
    for path in ["", "/responses", "/events"] {
        let path = format!("/api/v1/commands/{hidden}{path}");
        machine.get(&path).await.expect_problem(404, "not_found");
    }
    assert_eq!(machine.watch(&hidden).await.1.code, 1008);

    let mut news = machine.open_at("/ws/events").await;
    let seen = engineer.read_dtc().await;
    engineer.ended(&seen).await;
    let cancel = format!("/api/v1/commands/{shown}/cancel");
    engineer.post(&cancel, &json!({})).await.expect(200);
    loop {
        let event = news.next().await.unwrap();
        if event["event"] == "command" {
            assert_eq!(event["command_id"], shown);
            break;
        }
    }
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_and_its_streams_end_on_every_node() {
    let (world, admin, issued) = with_account(|_| {}).await;
    let node = world.beside(|_| {}).await;
    let machine = holder(&world, &issued);
    let there = machine.at(node.address());
    there.get("/api/v1/vehicles").await.expect(200);
    let stream = there.open_at("/ws/events").await;
    admin.delete(&path(&issued)).await.expect(204);
    machine
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
async fn another_key_takes_the_place_of_the_one_before() {
    let (world, admin, issued) = with_account(|_| {}).await;
    let old = holder(&world, &issued);
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
    holder(&world, &renewed)
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
async fn an_expired_key_opens_nothing() {
    let (world, _, issued) = with_account(|_| {}).await;
    let sql = world.sql().await;
    sql.execute("UPDATE service_accounts SET expires_at = now()", &[])
        .await
        .unwrap();
    let machine = holder(&world, &issued);
    machine
        .get("/api/v1/vehicles")
        .await
        .expect_problem(401, "token_invalid");
}

#[tokio::test]
async fn a_made_up_key_opens_nothing() {
    let (world, _, issued) = with_account(|_| {}).await;
    let key = issued["api_key"].as_str().unwrap();
    for made_up in [
        "sovd_",
        "sovd_x",
        &key[..key.len() - 1],
        &format!("{key}x"),
        &key.to_uppercase(),
    ] {
        let mut machine = world.stranger();
        machine.token = Some(made_up.to_owned());
        machine
            .get("/api/v1/vehicles")
            .await
            .expect_problem(401, "token_invalid");
    }
}

#[tokio::test]
async fn a_service_account_is_no_user_who_logs_in() {
    let (world, admin, issued) = with_account(|body| body["role"] = json!("admin")).await;
    let body = json!({ "username": "fleet-monitor", "password": "!" });
    let login = world.stranger().post("/api/v1/auth/login", &body).await;
    login.expect_problem(401, "invalid_credentials");
    let id = issued["service_account"]["service_account_id"]
        .as_str()
        .unwrap();
    let as_user = format!("/api/v1/users/{id}");
    admin.get(&as_user).await.expect_problem(404, "not_found");
    let change = json!({ "password": "tightening the nuts" });
    admin
        .patch(&as_user, &change)
        .await
        .expect_problem(404, "not_found");
    admin
        .delete(&as_user)
        .await
        .expect_problem(404, "not_found");
    let users = admin.get("/api/v1/users").await.expect(200);
    assert!(!users.to_string().contains("fleet-monitor"));
    // It counts as no admin either.
    let own = "/api/v1/users/00000000-0000-0000-0000-000000000001";
    admin.delete(own).await.expect_problem(409, "conflict");
}

#[tokio::test]
async fn every_field_has_edges() {
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
    for about_all in ["audit.read", "vehicles.manage"] {
        create(&admin, |body| {
            body["role"] = json!("admin");
            body["permissions"] = json!([about_all]);
            body["vehicle_ids"] = json!([CONNECTED]);
        })
        .await
        .expect_bad_field(422, "validation_failed", "/permissions/0");
    }
    let managing = |permissions: Value| {
        create(&admin, move |body| {
            body["name"] = json!("workshop");
            body["role"] = json!("service");
            body["permissions"] = permissions;
        })
    };
    managing(json!(["bookings.read", "bookings.manage"]))
        .await
        .expect_bad_field(422, "validation_failed", "/permissions/1");
    managing(json!(["bookings.manage", "bookings.book"]))
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
async fn every_step_of_an_account_is_audited() {
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
async fn a_key_that_reads_no_commands_sees_none_on_the_dashboard() {
    let (world, _, issued) =
        with_account(|body| body["permissions"] = json!(["vehicles.read", "commands.submit"]))
            .await;
    let machine = holder(&world, &issued);
    let mut news = machine.open_at("/ws/events").await;
    machine.read_dtc().await;
    let lost = "UPDATE vehicles SET connection_status = 'error'";
    world.sql().await.execute(lost, &[]).await.unwrap();
    loop {
        let event = news.next().await.unwrap();
        assert_ne!(event["event"], "command");
        if event["event"] == "vehicle" {
            break;
        }
    }
}
