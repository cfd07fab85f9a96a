use serde_json::{Value, json};
use sovd_tests::{Client, NO_MARKER, World, within};

const OTHER: &str = "00000000-0000-0000-0000-000000000002";

/// Returns the audited refusals, oldest first.
async fn refusals(world: &World) -> Vec<Value> {
    world.wait_for_refusals().await;
    let sql = format!(
        "SELECT to_jsonb(audit_logs) FROM audit_logs WHERE result = 'refused' AND {NO_MARKER}
         ORDER BY timestamp, log_id"
    );
    let rows = world.sql().await.query(&sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn command_of_another_user(world: &World) -> (Client, String) {
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc_offline(3600).await;
    (world.log_in("other").await, id)
}

#[tokio::test]
async fn audits_forbidden_requests() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let reply = engineer.get("/api/v1/users?search=secret").await;
    let request_id = reply.headers["x-request-id"].to_str().unwrap().to_owned();
    reply.expect_problem(403, "forbidden");
    let entries = refusals(&world).await;
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!(entry["action"], "access.refuse");
    assert_eq!(entry["user_id"], OTHER);
    assert_eq!(entry["ip_address"], "127.0.0.1");
    assert_eq!(entry["request_id"], request_id);
    let details = json!({ "method": "GET", "path": "/api/v1/users", "code": "forbidden" });
    assert_eq!(entry["details"], details);
}

#[tokio::test]
async fn audits_forged_tokens_but_not_missing_ones() {
    let world = World::start().await;
    let mut forger = world.anonymous();
    forger.token = Some("eyJhbGciOiJIUzI1NiJ9.e30.x".to_owned());
    forger
        .get("/api/v1/vehicles")
        .await
        .expect_problem(401, "token_invalid");
    forger.open_at("/ws/events").await.rest().await;
    world
        .anonymous()
        .get("/api/v1/vehicles")
        .await
        .expect_problem(401, "not_authenticated");
    let entries = refusals(&world).await;
    let paths: Vec<&Value> = entries
        .iter()
        .map(|entry| &entry["details"]["path"])
        .collect();
    assert_eq!(paths, ["/api/v1/vehicles", "/ws/events"]);
    assert!(entries.iter().all(|entry| entry["user_id"].is_null()));
    assert!(!entries[0].to_string().contains("eyJ"));
}

#[tokio::test]
async fn conceals_and_audits_access_to_commands_of_other_users() {
    let world = World::start().await;
    let (other, id) = command_of_another_user(&world).await;
    for path in ["", "/responses", "/events"] {
        let path = format!("/api/v1/commands/{id}{path}");
        other.get(&path).await.expect_problem(404, "not_found");
    }
    assert_eq!(other.watch(&id).await.1.code, 1008);
    let cancel = format!("/api/v1/commands/{id}/cancel");
    other
        .post(&cancel, &json!({}))
        .await
        .expect_problem(404, "not_found");
    let missing = "/api/v1/commands/00000000-0000-0000-0000-00000000ffff";
    other.get(missing).await.expect_problem(404, "not_found");

    let entries = refusals(&world).await;
    let actions: Vec<&Value> = entries.iter().map(|entry| &entry["action"]).collect();
    let read = "command.read";
    assert_eq!(actions, [read, read, read, read, "command.cancel"]);
    assert!(
        entries
            .iter()
            .all(|entry| entry["command_id"] == id && entry["entity_id"] == id)
    );
}

#[tokio::test]
async fn audits_attempts_to_end_sessions_of_other_users() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let other = world.log_in("other").await;
    let sessions = engineer.get("/api/v1/auth/sessions").await.expect(200);
    let id = &sessions[0]["session_id"];
    let path = format!("/api/v1/auth/sessions/{}", id.as_str().unwrap());
    other.delete(&path).await.expect_problem(404, "not_found");
    let entries = refusals(&world).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0]["action"], &entries[0]["entity_id"]),
        (&json!("session.end"), id)
    );
}

#[tokio::test]
async fn limits_the_rate_of_audited_refusals() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for _ in 0..80 {
        engineer
            .get("/api/v1/users")
            .await
            .expect_problem(403, "forbidden");
    }
    let written = refusals(&world).await.len();
    assert!((60..80).contains(&written), "{written}");
}

#[tokio::test]
async fn audits_service_accounts_outside_their_scope() {
    let allow = vec!["m:commands.submit".to_owned()];
    let world = World::with(|settings| settings.agents.allow = allow).await;
    let admin = world.log_in("admin").await;
    let body = json!({
        "name": "m", "role": "engineer", "permissions": ["vehicles.read", "commands.submit"],
        "vehicle_ids": [sovd_tests::OFFLINE], "expires_in_days": 1,
    });
    let issued = admin
        .post("/api/v1/service-accounts", &body)
        .await
        .expect(201);
    let mut machine = world.anonymous();
    machine.token = issued["api_key"].as_str().map(str::to_owned);
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc_offline(3600).await;

    let closing = machine.watch(&id).await.1;
    assert!(closing.reason.starts_with("forbidden"), "{closing:?}");
    let concealed = sovd_tests::CONNECTED;
    let vehicle = machine.get(&format!("/api/v1/vehicles/{concealed}")).await;
    vehicle.expect_problem(404, "not_found");
    let fleet = machine
        .open_at(&format!("/ws/events?vehicle_id={concealed}"))
        .await;
    assert_eq!(fleet.rest().await.1.code, 1008);
    let command = json!({
        "vehicle_id": concealed, "command_name": "ReadDTC", "command_params": { "ecuAddress": "0x10" },
    });
    let refused = machine.post("/api/v1/commands", &command).await;
    refused.expect_problem(404, "not_found");

    let entries = refusals(&world).await;
    let actions: Vec<&Value> = entries.iter().map(|entry| &entry["action"]).collect();
    let expected = [
        "access.refuse",
        "vehicle.read",
        "vehicle.watch",
        "command.submit",
    ];
    assert_eq!(actions, expected);
    let account = &issued["service_account"]["service_account_id"];
    assert!(entries.iter().all(|entry| entry["user_id"] == *account));
}

/// Makes every INSERT into the audit trail wait until the transaction of the returned client ends.
async fn lock_audit_trail(world: &World) -> tokio_postgres::Client {
    let client = world.sql().await;
    let lock = "BEGIN; LOCK TABLE audit_logs IN SHARE MODE";
    client.batch_execute(lock).await.unwrap();
    client
}

#[tokio::test]
async fn answers_without_waiting_for_the_audit_trail() {
    let world = World::start().await;
    let (other, id) = command_of_another_user(&world).await;
    let customer = world.log_in("customer").await;
    let lock = lock_audit_trail(&world).await;
    for path in ["", "/responses", "/events"] {
        let path = format!("/api/v1/commands/{id}{path}");
        other.get(&path).await.expect_problem(404, "not_found");
    }
    assert_eq!(other.watch(&id).await.1.code, 1008);
    let vehicle = format!("/api/v1/vehicles/{}", sovd_tests::CONNECTED);
    customer
        .get(&vehicle)
        .await
        .expect_problem(404, "not_found");
    other
        .get("/api/v1/users")
        .await
        .expect_problem(403, "forbidden");
    lock.batch_execute("COMMIT").await.unwrap();
    let actions: Vec<Value> = refusals(&world)
        .await
        .into_iter()
        .map(|entry| entry["action"].clone())
        .collect();
    let read = "command.read";
    assert_eq!(
        actions,
        [read, read, read, read, "vehicle.read", "access.refuse"]
    );
}

#[tokio::test]
async fn writes_queued_refusals_at_the_shutdown() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let sql = world.sql().await;
    engineer
        .get("/api/v1/users")
        .await
        .expect_problem(403, "forbidden");
    let _database = world.stop_and_keep_database().await;
    let sealed = "SELECT count(*) FROM audit_logs
                  WHERE action = 'access.refuse' AND position IS NOT NULL";
    let row = sql.query_one(sealed, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn keeps_refusals_of_a_user_who_is_deleted_before_the_write() {
    let world = World::start().await;
    let (other, _) = command_of_another_user(&world).await;
    let user_id = other.get("/api/v1/auth/me").await.expect(200)["user_id"].clone();
    let lock = lock_audit_trail(&world).await;
    other
        .get("/api/v1/users")
        .await
        .expect_problem(403, "forbidden");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                   AND datname = current_database() AND query LIKE 'INSERT INTO \"audit_logs\"%'";
    let sql = world.sql().await;
    within("the refusal to be written", async {
        while sql.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
    })
    .await;
    let id = user_id.as_str().unwrap();
    let delete = format!("DELETE FROM users WHERE user_id = '{id}'; COMMIT");
    lock.batch_execute(&delete).await.unwrap();
    let entries = refusals(&world).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["action"], "access.refuse");
    assert_eq!(entries[0]["actor_id"], user_id);
    assert_eq!(entries[0]["user_id"], Value::Null);
}

#[tokio::test]
async fn leaves_pasted_secrets_out_of_the_audited_path() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let known = format!("/api/v1/users/{OTHER}");
    for path in ["/api/v1/users/correct-horse", &known] {
        engineer.get(path).await.expect_problem(403, "forbidden");
    }
    let entries = refusals(&world).await;
    let paths: Vec<&Value> = entries
        .iter()
        .map(|entry| &entry["details"]["path"])
        .collect();
    assert_eq!(paths, ["/api/v1/users/{user_id}", &known]);
}
