use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, Reply, World};

const COMMANDS: &str = "/api/v1/commands";
const UNKNOWN: &str = "00000000-0000-0000-0000-00000000ffff";

fn submission(change: impl FnOnce(&mut Value)) -> Value {
    let mut body = json!({
        "vehicle_id": CONNECTED,
        "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    change(&mut body);
    body
}

async fn submit(client: &Client, change: impl FnOnce(&mut Value)) -> Reply {
    client.post(COMMANDS, &submission(change)).await
}

async fn send_text(client: &Client, content_type: &str, body: impl Into<String>) -> Reply {
    let request = client.request(Method::POST, COMMANDS).body(body.into());
    client
        .send(request.header(CONTENT_TYPE, content_type))
        .await
}

#[tokio::test]
async fn names_the_invalid_field_of_a_submission() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let cases: [(&str, Value); 13] = [
        ("/command_name", json!({ "command_name": "Explode" })),
        ("/command_name", json!({ "command_name": "readdtc" })),
        ("/command_name", json!({ "command_name": 7 })),
        ("/command_name", json!({ "command_name": "" })),
        ("/command_params", json!({ "command_params": "0x10" })),
        (
            "/command_params/ecuAddress",
            json!({ "command_params": {} }),
        ),
        (
            "/command_params/ecuAddress",
            json!({ "command_params": { "ecuAddress": "0x1" } }),
        ),
        (
            "/command_params/force",
            json!({ "command_params": { "ecuAddress": "0x10", "force": 1 } }),
        ),
        ("/vehicle_id", json!({ "vehicle_id": "not-a-uuid" })),
        ("/vehicle_id", json!({ "vehicle_id": null })),
        (
            "/expires_in_seconds",
            json!({ "expires_in_seconds": "soon" }),
        ),
        ("/priority", json!({ "priority": 1 })),
        (
            "/command_params/ecuAddress",
            json!({ "command_params": { "ecuAddress": "0x10\u{0}" } }),
        ),
    ];
    for (pointer, change) in cases {
        let reply = submit(&engineer, |body| {
            for (name, value) in change.as_object().unwrap() {
                body[name] = value.clone();
            }
        })
        .await;
        let problem = reply.expect_bad_field(422, "validation_failed", pointer);
        assert_eq!(problem["instance"], COMMANDS);
    }
    let history = engineer.get(COMMANDS).await.expect(200);
    assert_eq!(history["total"], 0, "no command was created");
}

#[tokio::test]
async fn names_every_invalid_field() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let body = json!({ "vehicle_id": "x", "command_params": { "ecuAddress": "0x10" }, "extra": 1 });
    let problem = engineer
        .post(COMMANDS, &body)
        .await
        .expect_problem(422, "validation_failed");
    let pointers: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    for pointer in ["/vehicle_id", "/command_name", "/extra"] {
        assert!(pointers.contains(&pointer), "{problem}");
    }
}

#[tokio::test]
async fn limits_the_expiry_of_a_command() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for good in [1, 604_800] {
        submit(&engineer, |body| body["expires_in_seconds"] = json!(good))
            .await
            .expect(201);
    }
    for bad in [json!(0), json!(604_801), json!(-1), json!(1.5)] {
        submit(&engineer, |body| body["expires_in_seconds"] = bad)
            .await
            .expect_bad_field(422, "validation_failed", "/expires_in_seconds");
    }
}

#[tokio::test]
async fn names_an_unknown_vehicle() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    submit(&engineer, |body| body["vehicle_id"] = json!(UNKNOWN))
        .await
        .expect_bad_field(404, "not_found", "/vehicle_id");
    engineer
        .get(&format!("/api/v1/vehicles/{UNKNOWN}"))
        .await
        .expect_problem(404, "not_found");
    engineer
        .get(&format!("{COMMANDS}/{UNKNOWN}"))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn rejects_an_id_in_the_path_that_is_not_a_uuid() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for (path, pointer) in [
        ("/api/v1/vehicles/7", "/vehicle_id"),
        ("/api/v1/vehicles/7/status", "/vehicle_id"),
        ("/api/v1/commands/not-a-uuid", "/command_id"),
        ("/api/v1/commands/%00/responses", "/command_id"),
    ] {
        engineer
            .get(path)
            .await
            .expect_bad_field(400, "malformed_request", pointer);
    }
}

#[tokio::test]
async fn rejects_a_body_that_is_not_json() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for body in [
        "",
        "{",
        "hello",
        "{\"vehicle_id\": }",
        "\u{feff}{}",
        deep.as_str(),
    ] {
        send_text(&engineer, "application/json", body)
            .await
            .expect_problem(400, "malformed_request");
    }
    send_text(&engineer, "application/json", "[]")
        .await
        .expect_problem(422, "validation_failed");
}

#[tokio::test]
async fn rejects_other_content_types() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let body = submission(|_| {}).to_string();
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
    ] {
        send_text(&engineer, content_type, body.clone())
            .await
            .expect_problem(415, "unsupported_media_type");
    }
    send_text(&engineer, "Application/JSON; charset=utf-8", body)
        .await
        .expect(201);
}

#[tokio::test]
async fn rejects_a_body_above_the_limit() {
    let world = World::with(|settings| settings.server.body_limit_bytes = 4_096).await;
    let engineer = world.log_in("engineer").await;
    let padded = |length: usize| {
        let body = submission(|_| {}).to_string();
        let padding = " ".repeat(length - body.len());
        body + &padding
    };
    send_text(&engineer, "application/json", padded(4_096))
        .await
        .expect(201);
    for length in [4_097, 1024 * 1024] {
        send_text(&engineer, "application/json", padded(length))
            .await
            .expect_problem(413, "payload_too_large");
    }
}

#[tokio::test]
async fn lists_the_allowed_methods() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for (method, path, allow) in [
        (Method::DELETE, COMMANDS, "GET, HEAD, POST"),
        (Method::GET, "/api/v1/auth/login", "POST"),
        (Method::GET, "/api/v1/insights/derive", "POST"),
        (
            Method::PUT,
            "/api/v1/vehicles/00000000-0000-0000-0000-000000000101",
            "GET, HEAD, PATCH, DELETE",
        ),
        (Method::POST, "/health/live", "GET, HEAD"),
        (Method::POST, "/openapi.json", "GET, HEAD"),
    ] {
        let reply = engineer.send(engineer.request(method, path)).await;
        assert_eq!(reply.headers["allow"], allow);
        reply.expect_problem(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn returns_a_problem_for_an_unknown_path() {
    let world = World::start().await;
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v1/commands/",
        "/openapi.yaml",
    ] {
        world
            .anonymous()
            .get(path)
            .await
            .expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn keeps_a_well_formed_request_id() {
    let world = World::start().await;
    let anonymous = world.anonymous();
    let send = async |id: &str| {
        let request = anonymous
            .request(Method::GET, "/health/live")
            .header("X-Request-ID", id);
        let reply = anonymous.send(request).await;
        reply.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(send("trace-1_2.3").await, "trace-1_2.3");
    assert_eq!(send(&"x".repeat(128)).await, "x".repeat(128));
    for bad in ["", &"x".repeat(129), "a b", "a\"b"] {
        let id = send(bad).await;
        assert!(uuid::Uuid::parse_str(&id).is_ok(), "{bad:?} became {id:?}");
    }
}

#[tokio::test]
async fn answers_head_like_get_without_the_body() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for path in ["/health/live", "/api/v1/vehicles", "/openapi.json"] {
        let reply = engineer.send(engineer.request(Method::HEAD, path)).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.body, Value::Null, "{path}");
    }
    let anonymous = world.anonymous();
    let reply = anonymous
        .send(anonymous.request(Method::HEAD, "/api/v1/vehicles"))
        .await;
    assert_eq!(reply.status, 401);
}
