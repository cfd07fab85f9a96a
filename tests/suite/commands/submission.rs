use serde_json::{Value, json};
use sovd_tests::{CONNECTED, OFFLINE, World};

use crate::commands::connect_vehicles;

const COMMANDS: &str = "/api/v1/commands";

#[tokio::test]
async fn the_catalog_describes_every_command() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let catalog = engineer.get("/api/v1/commands/catalog").await.expect(200);
    let names: Vec<&Value> = catalog
        .as_array()
        .unwrap()
        .iter()
        .map(|spec| &spec["name"])
        .collect();
    assert_eq!(names, ["ClearDTC", "ReadDTC", "ReadDataByID"]);
    for spec in catalog.as_array().unwrap() {
        assert_eq!(
            spec["params_schema"]["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert_eq!(spec["params_schema"]["additionalProperties"], false);
        let roles = if spec["risk"] == "read" {
            json!(["admin", "engineer", "service"])
        } else {
            json!(["admin", "engineer"])
        };
        assert_eq!(spec["allowed_roles"], roles);
        assert!(spec["title"].is_string() && spec["description"].is_string());
    }
    assert_eq!(catalog[0]["risk"], "clear");
    assert_eq!(catalog[0]["idempotent"], false);
    assert_eq!(catalog[0]["evidence"], "ReadDTC");
    assert_eq!(catalog[1]["evidence"], Value::Null);
    assert_eq!(catalog[1]["risk"], "read");
    assert_eq!(catalog[1]["idempotent"], true);
}

#[tokio::test]
async fn every_command_of_the_catalog_completes() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for (name, params, field) in [
        ("ReadDTC", json!({ "ecuAddress": "0x10" }), "dtcs"),
        (
            "ClearDTC",
            json!({ "ecuAddress": "0x7E0A", "dtcCode": "P0420" }),
            "cleared",
        ),
        (
            "ReadDataByID",
            json!({ "ecuAddress": "0x18DA10F1", "dataId": "0xF190" }),
            "value",
        ),
    ] {
        let command = engineer.submit(name, params).await;
        let id = command["command_id"].as_str().unwrap();
        assert_eq!(engineer.ended(id).await["status"], "completed");
        let responses = engineer
            .get(&format!("{COMMANDS}/{id}/responses"))
            .await
            .expect(200);
        let answers = responses.as_array().unwrap().iter();
        assert!(
            answers
                .map(|response| &response["response_payload"])
                .any(|payload| !payload[field].is_null()),
            "{responses}"
        );
    }
}

#[tokio::test]
async fn engineers_see_their_own_commands_and_admins_all() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let other = world.log_in("other").await;
    let admin = world.log_in("admin").await;
    let id = engineer.read_dtc().await;
    engineer.ended(&id).await;
    other.read_dtc().await;

    for path in [
        format!("{COMMANDS}/{id}"),
        format!("{COMMANDS}/{id}/responses"),
    ] {
        engineer.get(&path).await.expect(200);
        admin.get(&path).await.expect(200);
        other.get(&path).await.expect_problem(404, "not_found");
    }
    let owner = engineer.get("/api/v1/auth/me").await.expect(200)["user_id"].clone();
    let query = format!("?user_id={}", owner.as_str().unwrap());
    let total = async |client: &sovd_tests::Client, query: &str| {
        client.get(&format!("{COMMANDS}{query}")).await.expect(200)["total"].clone()
    };
    assert_eq!(total(&engineer, "").await, 1);
    assert_eq!(total(&other, "").await, 1);
    assert_eq!(
        total(&other, &query).await,
        0,
        "commands of other users are concealed"
    );
    assert_eq!(total(&admin, "").await, 2);
    assert_eq!(total(&admin, &query).await, 1);
}

#[tokio::test]
async fn filters_narrow_the_history() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let first = engineer.read_dtc().await;
    let first = engineer.ended(&first).await;
    let clear = engineer
        .submit("ClearDTC", json!({ "ecuAddress": "0x10" }))
        .await;
    let second = engineer.ended(clear["command_id"].as_str().unwrap()).await;
    let (before, after) = (&first["submitted_at"], &second["submitted_at"]);
    let (before, after) = (before.as_str().unwrap(), after.as_str().unwrap());

    let ids = async |query: String| {
        let list = engineer
            .get(&format!("{COMMANDS}{query}"))
            .await
            .expect(200);
        let ids = list["commands"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["command_id"].clone());
        ids.collect::<Vec<Value>>()
    };
    let (one, two) = (&first["command_id"], &second["command_id"]);
    let both = vec![two.clone(), one.clone()];
    for (query, expected) in [
        (String::new(), both.clone()),
        (format!("?vehicle_id={CONNECTED}"), both.clone()),
        (format!("?vehicle_id={OFFLINE}"), vec![]),
        ("?status=completed".to_owned(), both.clone()),
        ("?status=failed".to_owned(), vec![]),
        ("?command_name=ClearDTC".to_owned(), vec![two.clone()]),
        (format!("?start_date={after}"), vec![two.clone()]),
        (format!("?end_date={before}"), vec![one.clone()]),
        (format!("?start_date={before}&end_date={after}"), both),
        ("?limit=1&offset=1".to_owned(), vec![one.clone()]),
    ] {
        assert_eq!(ids(query.clone()).await, expected, "{query}");
    }
    let reply = engineer.get(&format!("{COMMANDS}?limit=1")).await;
    assert_eq!(reply.headers["x-total-count"], "2");
    assert!(
        reply.headers["link"]
            .to_str()
            .unwrap()
            .contains("rel=\"next\"")
    );
    for (query, pointer) in [
        ("?start_date=-200000-01-01T00:00:00Z", "/start_date"),
        ("?end_date=0000-12-31T23:59:59Z", "/end_date"),
    ] {
        let path = format!("{COMMANDS}{query}");
        engineer
            .get(&path)
            .await
            .expect_bad_field(422, "validation_failed", pointer);
    }
    for edge in [
        "?start_date=0001-01-01T00:00:00Z",
        "?end_date=9999-12-31T23:59:59Z",
    ] {
        assert_eq!(ids(edge.to_owned()).await.len(), 2, "{edge}");
    }
    for (query, pointer) in [
        ("?start_date=yesterday", "/start_date"),
        ("?vehicle_id=7", "/vehicle_id"),
        ("?status=done", "/status"),
    ] {
        engineer
            .get(&format!("{COMMANDS}{query}"))
            .await
            .expect_bad_field(400, "malformed_request", pointer);
    }
}

#[tokio::test]
async fn a_disconnected_vehicle_queues_only_reads() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let body = |name: &str| {
        json!({
            "vehicle_id": OFFLINE, "command_name": name, "command_params": { "ecuAddress": "0x10" },
        })
    };
    engineer
        .post(COMMANDS, &body("ClearDTC"))
        .await
        .expect_problem(409, "vehicle_offline");
    let waiting = engineer.post(COMMANDS, &body("ReadDTC")).await.expect(201);
    let id = waiting["command_id"].as_str().unwrap();

    let mut socket = engineer.open(id).await;
    connect_vehicles(&world).await;
    assert_eq!(socket.next().await.unwrap()["status"], "in_progress");
    assert_eq!(engineer.ended(id).await["status"], "completed");
}

#[tokio::test]
async fn commands_to_one_vehicle_run_in_order() {
    let world = World::with(|settings| settings.connector.mock.chunks = 2).await;
    let engineer = world.log_in("engineer").await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(engineer.read_dtc().await);
    }
    let mut last_end = String::new();
    for id in &ids {
        let command = engineer.ended(id).await;
        let started = command["started_at"].as_str().unwrap().to_owned();
        assert!(
            started >= last_end,
            "started at {started}, before the end at {last_end}"
        );
        command["completed_at"]
            .as_str()
            .unwrap()
            .clone_into(&mut last_end);
    }
}

#[tokio::test]
async fn limits_the_submission_rate_of_a_user() {
    let world = World::with(|settings| settings.limits.commands_per_minute = 2).await;
    let engineer = world.log_in("engineer").await;
    engineer.read_dtc().await;
    engineer.read_dtc().await;
    let body = json!({
        "vehicle_id": CONNECTED, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    engineer
        .post(COMMANDS, &body)
        .await
        .expect_problem(429, "rate_limited");
    engineer.get(COMMANDS).await.expect(200);
}
