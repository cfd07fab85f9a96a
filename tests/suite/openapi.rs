use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use sovd_tests::World;

/// The operations that strangers may call.
const OPEN: [&str; 7] = [
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    // They answer strangers over the socket.
    "GET /ws/responses/{command_id}",
    "GET /ws/events",
];

struct Operation {
    method: Method,
    path: String,
    definition: Value,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, definition) in item.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            operations.push(Operation {
                method,
                path: path.clone(),
                definition: definition.clone(),
            });
        }
    }
    operations
}

#[test]
fn the_document_is_as_published() {
    insta::assert_snapshot!("openapi", sovd_app::openapi_json());
}

#[tokio::test]
async fn the_served_document_is_the_published_one() {
    let world = World::start().await;
    let served = world.stranger().get("/openapi.json").await.expect(200);
    let published: Value = serde_json::from_str(&sovd_app::openapi_json()).unwrap();
    assert_eq!(served, published);
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[tokio::test]
async fn every_operation_turns_strangers_away() {
    let world = World::start().await;
    let stranger = world.stranger();
    let document = stranger.get("/openapi.json").await.expect(200);
    let mut guarded = 0;
    for operation in operations(&document) {
        let name = format!("{} {}", operation.method, operation.path);
        let is_open = OPEN.contains(&name.as_str());
        if !name.contains("/ws/") {
            let says_so = operation.definition.get("security").is_some();
            assert_ne!(says_so, is_open, "the document is wrong about {name}");
        }
        if is_open {
            continue;
        }
        let path = operation
            .path
            .replace("{vehicle_id}", sovd_tests::CONNECTED)
            .replace("{service_account_id}", sovd_tests::CONNECTED)
            .replace("{session_id}", sovd_tests::CONNECTED)
            .replace("{user_id}", sovd_tests::CONNECTED)
            .replace("{command_id}", sovd_tests::CONNECTED);
        let request = stranger.request(operation.method, &path).json(&json!({}));
        stranger
            .send(request)
            .await
            .expect_problem(401, "not_authenticated");
        guarded += 1;
    }
    assert!(guarded >= 10, "{guarded}");
}

#[test]
fn every_operation_and_every_field_is_described() {
    let document: Value = serde_json::from_str(&sovd_app::openapi_json()).unwrap();
    let mut ids = BTreeSet::new();
    for operation in operations(&document) {
        let name = format!("{} {}", operation.method, operation.path);
        let id = operation.definition["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{name} shares its id");
        assert!(
            operation.definition["summary"].is_string(),
            "{name} has no summary"
        );
        let responses = &operation.definition["responses"];
        assert!(responses["500"].is_object(), "{name}");
        if operation.definition.get("requestBody").is_some() {
            for status in ["400", "413", "415", "422", "503"] {
                assert!(responses[status].is_object(), "{name} {status}");
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, definition) in schema["properties"].as_object().into_iter().flatten() {
            assert!(
                definition["description"].is_string(),
                "{name}.{field} has no description"
            );
        }
    }
}
