//! Null values and integers written as decimals, in every request body as documented.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sovd_tests::{CONNECTED, OFFLINE, Reply, World};

use crate::openapi::{Operation, document, operations};

const UNKNOWN: &str = "00000000-0000-0000-0000-00000000ffff";

/// Returns a valid body for every operation that has one.
fn valid_bodies(tomorrow: &str) -> Vec<(&'static str, Value)> {
    let anomaly = json!({ "anomaly_type": "brakes", "severity": "Low" });
    let anomaly_of_vehicle = {
        let mut body = anomaly.clone();
        body["vehicle_id"] = json!(CONNECTED);
        body
    };
    vec![
        (
            "POST /api/v1/auth/login",
            json!({ "username": "x", "password": "x" }),
        ),
        ("POST /api/v1/auth/refresh", json!({ "refresh_token": "x" })),
        ("POST /api/v1/auth/logout", json!({})),
        (
            "POST /api/v1/auth/password",
            json!({ "current_password": "x", "new_password": "an unusual sentence" }),
        ),
        (
            "POST /api/v1/users",
            json!({
                "username": "anna", "email": "anna@example.com", "role": "engineer",
                "password": "an unusual sentence",
            }),
        ),
        (
            "PATCH /api/v1/users/{user_id}",
            json!({ "is_active": true }),
        ),
        (
            "POST /api/v1/service-accounts",
            json!({
                "name": "robot", "role": "engineer", "permissions": ["vehicles.read"],
                "expires_in_days": 1,
            }),
        ),
        (
            "POST /api/v1/service-accounts/{service_account_id}/key",
            json!({ "expires_in_days": 1 }),
        ),
        (
            "POST /api/v1/vehicles",
            json!({ "vin": "NULL0", "make": "Tesla", "model": "Y", "year": 2023 }),
        ),
        (
            "PATCH /api/v1/vehicles/{vehicle_id}",
            json!({ "make": "Tesla" }),
        ),
        ("POST /api/v1/vehicles/{vehicle_id}/anomalies", anomaly),
        ("POST /api/v1/anomalies", anomaly_of_vehicle),
        (
            "POST /api/v1/anomalies/{anomaly_id}/diagnoses",
            json!({ "diagnosis_text": "worn", "confidence_score": 0.5 }),
        ),
        (
            "POST /api/v1/commands",
            json!({
                "vehicle_id": CONNECTED, "command_name": "ReadDTC",
                "command_params": { "ecuAddress": "0x10" },
            }),
        ),
        (
            "POST /api/v1/bookings",
            json!({ "vehicle_id": UNKNOWN, "appointment_time": tomorrow }),
        ),
        (
            "PATCH /api/v1/bookings/{booking_id}",
            json!({ "status": "CONFIRMED" }),
        ),
        (
            "POST /api/v1/insights",
            json!({ "component_name": "pump", "failure_pattern": "leaks" }),
        ),
        ("POST /api/v1/insights/derive", json!({})),
        (
            "POST /api/v1/ueba-logs",
            json!({ "agent_name": "a", "action_type": "b", "status": "ALLOWED" }),
        ),
    ]
}

/// An operation with a request body.
struct BodyOperation {
    name: &'static str,
    operation: Operation,
    valid: Value,
    /// The schema of the body.
    schema: Value,
    allows_null: bool,
}

async fn body_operations(world: &World) -> Vec<BodyOperation> {
    let document = document();
    let tomorrow = "SELECT to_char(now() + interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    let sql = world.sql().await;
    let tomorrow: String = sql.query_one(tomorrow, &[]).await.unwrap().get(0);
    let mut bodies = valid_bodies(&tomorrow);
    let mut with_body = Vec::new();
    for operation in operations(&document) {
        let content = &operation.definition["requestBody"]["content"];
        let Some(schema) = content.pointer("/application~1json/schema").cloned() else {
            continue;
        };
        let name = format!("{} {}", operation.method, operation.path);
        let index = bodies.iter().position(|body| body.0 == name);
        let index = index.unwrap_or_else(|| panic!("{name} has no valid body in this test"));
        let (name, valid) = bodies.remove(index);
        let alternatives = schema["oneOf"].as_array();
        let mut options = alternatives.into_iter().flatten();
        let reference = schema["$ref"]
            .as_str()
            .or(schema["oneOf"][0]["$ref"].as_str());
        let pointer = reference.unwrap().trim_start_matches('#');
        with_body.push(BodyOperation {
            name,
            operation,
            valid,
            schema: document.pointer(pointer).unwrap().clone(),
            allows_null: options.any(|option| option["type"] == "null"),
        });
    }
    assert_eq!(bodies.len(), 0, "no operation has {bodies:?}");
    with_body
}

impl BodyOperation {
    fn fields(&self) -> Vec<(String, Value)> {
        let properties = self.schema["properties"].as_object().unwrap().iter();
        properties
            .map(|(name, schema)| (name.clone(), schema.clone()))
            .collect()
    }

    fn with(&self, field: &str, value: Value) -> Value {
        let mut body = self.valid.clone();
        body[field] = value;
        body
    }

    /// Sends a body in a new session of an admin, because some operations end the session.
    async fn send(&self, world: &World, body: &Value) -> Reply {
        let admin = world.log_in("admin").await;
        let path = self.operation.path_with(OFFLINE);
        let request = admin.request(self.operation.method.clone(), &path);
        admin.send(request.json(body)).await
    }
}

fn types_of(schema: &Value) -> BTreeSet<&str> {
    let types = schema["type"].as_array().into_iter().flatten();
    let types = types.chain([&schema["type"]]);
    types.filter_map(Value::as_str).collect()
}

fn pointers(reply: &Reply) -> Vec<&str> {
    let errors = reply.body["errors"].as_array().into_iter().flatten();
    errors
        .filter_map(|error| error["pointer"].as_str())
        .collect()
}

#[tokio::test]
async fn accepts_every_valid_body() {
    let world = World::start().await;
    for operation in body_operations(&world).await {
        let reply = operation.send(&world, &operation.valid).await;
        // The schema cannot know the current password.
        let expected: &[&str] = match operation.name {
            "POST /api/v1/auth/password" => &["/current_password"],
            _ => &[],
        };
        assert_ne!(reply.status, 400, "{}: {}", operation.name, reply.body);
        let invalid = (reply.status == 422).then(|| pointers(&reply));
        let invalid = invalid.unwrap_or_default();
        assert_eq!(invalid, expected, "{}: {}", operation.name, reply.body);
    }
}

#[tokio::test]
async fn accepts_null_fields_only_as_documented() {
    let world = World::start().await;
    for operation in body_operations(&world).await {
        for (field, schema) in operation.fields() {
            let reply = operation
                .send(&world, &operation.with(&field, Value::Null))
                .await;
            let pointer = format!("/{field}");
            if types_of(&schema).contains("null") {
                let is_unreadable = [400, 422].contains(&reply.status.as_u16());
                assert!(!is_unreadable, "{} {field}: {}", operation.name, reply.body);
            } else {
                reply.expect_bad_field(422, "validation_failed", &pointer);
            }
        }
    }
}

#[tokio::test]
async fn accepts_null_bodies_only_as_documented() {
    let world = World::start().await;
    for operation in body_operations(&world).await {
        let reply = operation.send(&world, &Value::Null).await;
        if operation.allows_null {
            assert!(
                reply.status.is_success(),
                "{}: {}",
                operation.name,
                reply.body
            );
        } else {
            reply.expect_bad_field(422, "validation_failed", "");
        }
    }
}

#[tokio::test]
async fn accepts_integers_written_as_decimals() {
    let world = World::start().await;
    let mut checked = 0;
    for operation in body_operations(&world).await {
        for (field, schema) in operation.fields() {
            if !types_of(&schema).contains("integer") {
                continue;
            }
            let (minimum, pointer) = (schema["minimum"].as_f64().unwrap(), format!("/{field}"));
            let whole = operation
                .send(&world, &operation.with(&field, json!(minimum)))
                .await;
            let is_rejected = pointers(&whole).contains(&pointer.as_str());
            assert!(!is_rejected, "{} {field}: {}", operation.name, whole.body);
            let fractional = operation.with(&field, json!(minimum + 0.5));
            let reply = operation.send(&world, &fractional).await;
            reply.expect_bad_field(422, "validation_failed", &pointer);
            checked += 1;
        }
    }
    assert!(checked >= 6, "only {checked} fields");
}

#[tokio::test]
async fn stores_decimal_integers_as_integers_and_metadata_unchanged() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let body = json!({
        "vin": "DECIMAL", "make": "Tesla", "model": "Y", "year": 2023.0,
        "metadata": { "year": 2023.0, "doors": 5 },
    });
    let vehicle = admin.post("/api/v1/vehicles", &body).await.expect(201);
    assert_eq!(vehicle["year"].to_string(), "2023");
    assert_eq!(
        vehicle["metadata"].to_string(),
        r#"{"doors":5,"year":2023.0}"#
    );
    let body = json!({
        "vehicle_id": CONNECTED, "command_name": "ReadDTC", "expires_in_seconds": 290.0,
        "command_params": { "ecuAddress": "0x10" },
    });
    admin.post("/api/v1/commands", &body).await.expect(201);
}

#[tokio::test]
async fn rejects_an_empty_change() {
    let world = World::start().await;
    let changes = body_operations(&world)
        .await
        .into_iter()
        .filter(|it| it.name.starts_with("PATCH "));
    for operation in changes {
        assert_eq!(operation.schema["minProperties"], 1, "{}", operation.name);
        let reply = operation.send(&world, &json!({})).await;
        reply.expect_bad_field(422, "validation_failed", "");
    }
}
