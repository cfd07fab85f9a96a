//! Null, and integers that are written as decimals: every body takes what the document says.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sovd_tests::{CONNECTED, OFFLINE, Reply, World};

use crate::openapi::operations;

const UNKNOWN: &str = "00000000-0000-0000-0000-00000000ffff";

/// A body that meets the schema, for every operation that takes one.
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

/// An operation that takes a body.
struct Taker {
    name: &'static str,
    valid: Value,
    /// The schema of the body.
    schema: Value,
    takes_null: bool,
}

async fn takers(world: &World) -> Vec<Taker> {
    let document: Value = serde_json::from_str(&sovd_app::openapi_json()).unwrap();
    let tomorrow = "SELECT to_char(now() + interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    let sql = world.sql().await;
    let tomorrow: String = sql.query_one(tomorrow, &[]).await.unwrap().get(0);
    let mut bodies = valid_bodies(&tomorrow);
    let mut takers = Vec::new();
    for operation in operations(&document) {
        let content = &operation.definition["requestBody"]["content"];
        let Some(schema) = content.pointer("/application~1json/schema") else {
            continue;
        };
        let name = format!("{} {}", operation.method, operation.path);
        let index = bodies.iter().position(|body| body.0 == name);
        let index = index.unwrap_or_else(|| panic!("{name} has no valid body here"));
        let (name, valid) = bodies.remove(index);
        let alternatives = schema["oneOf"].as_array();
        let mut options = alternatives.into_iter().flatten();
        let reference = schema["$ref"]
            .as_str()
            .or(schema["oneOf"][0]["$ref"].as_str());
        let pointer = reference.unwrap().trim_start_matches('#');
        takers.push(Taker {
            name,
            valid,
            schema: document.pointer(pointer).unwrap().clone(),
            takes_null: options.any(|option| option["type"] == "null"),
        });
    }
    assert_eq!(bodies.len(), 0, "no operation takes {bodies:?}");
    takers
}

impl Taker {
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

    /// Sends a body as a new session of an admin, because some of the operations end the session.
    async fn send(&self, world: &World, body: &Value) -> Reply {
        let admin = world.log_in("admin").await;
        let (method, path) = self.name.split_once(' ').unwrap();
        let segments = path.split('/');
        let filled = segments.map(|it| if it.starts_with('{') { OFFLINE } else { it });
        let path = filled.collect::<Vec<_>>().join("/");
        let request = admin.request(method.parse().unwrap(), &path);
        admin.send(request.json(body)).await
    }
}

fn types_of(schema: &Value) -> BTreeSet<&str> {
    let several = schema["type"].as_array().into_iter().flatten();
    let all = several.chain([&schema["type"]]);
    all.filter_map(Value::as_str).collect()
}

fn pointers(reply: &Reply) -> Vec<&str> {
    let errors = reply.body["errors"].as_array().into_iter().flatten();
    errors
        .filter_map(|error| error["pointer"].as_str())
        .collect()
}

#[tokio::test]
async fn a_valid_body_is_never_invalid() {
    let world = World::start().await;
    for taker in takers(&world).await {
        let reply = taker.send(&world, &taker.valid).await;
        // The schema cannot know the current password.
        let expected: &[&str] = match taker.name {
            "POST /api/v1/auth/password" => &["/current_password"],
            _ => &[],
        };
        assert_ne!(reply.status, 400, "{}: {}", taker.name, reply.body);
        let invalid = (reply.status == 422).then(|| pointers(&reply));
        let invalid = invalid.unwrap_or_default();
        assert_eq!(invalid, expected, "{}: {}", taker.name, reply.body);
    }
}

#[tokio::test]
async fn a_field_is_null_where_the_document_allows_it_and_nowhere_else() {
    let world = World::start().await;
    for taker in takers(&world).await {
        for (field, schema) in taker.fields() {
            let reply = taker.send(&world, &taker.with(&field, Value::Null)).await;
            let pointer = format!("/{field}");
            if types_of(&schema).contains("null") {
                let is_unreadable = [400, 422].contains(&reply.status.as_u16());
                assert!(!is_unreadable, "{} {field}: {}", taker.name, reply.body);
            } else {
                reply.expect_bad_field(422, "validation_failed", &pointer);
            }
        }
    }
}

#[tokio::test]
async fn a_body_is_null_where_the_document_allows_it_and_nowhere_else() {
    let world = World::start().await;
    for taker in takers(&world).await {
        let reply = taker.send(&world, &Value::Null).await;
        if taker.takes_null {
            assert!(reply.status.is_success(), "{}: {}", taker.name, reply.body);
        } else {
            reply.expect_bad_field(422, "validation_failed", "");
        }
    }
}

#[tokio::test]
async fn an_integer_may_be_written_as_a_decimal() {
    let world = World::start().await;
    let mut tried = 0;
    for taker in takers(&world).await {
        for (field, schema) in taker.fields() {
            if !types_of(&schema).contains("integer") {
                continue;
            }
            let (minimum, pointer) = (schema["minimum"].as_f64().unwrap(), format!("/{field}"));
            let whole = taker
                .send(&world, &taker.with(&field, json!(minimum)))
                .await;
            let is_refused = pointers(&whole).contains(&pointer.as_str());
            assert!(!is_refused, "{} {field}: {}", taker.name, whole.body);
            let between = taker.with(&field, json!(minimum + 0.5));
            let reply = taker.send(&world, &between).await;
            reply.expect_bad_field(422, "validation_failed", &pointer);
            tried += 1;
        }
    }
    assert!(tried >= 6, "only {tried} fields");
}

#[tokio::test]
async fn a_decimal_integer_is_kept_as_an_integer_and_free_data_as_it_came() {
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
async fn a_change_of_nothing_is_invalid_as_documented() {
    let world = World::start().await;
    let changes = takers(&world)
        .await
        .into_iter()
        .filter(|it| it.name.starts_with("PATCH "));
    for taker in changes {
        assert_eq!(taker.schema["minProperties"], 1, "{}", taker.name);
        let reply = taker.send(&world, &json!({})).await;
        reply.expect_bad_field(422, "validation_failed", "");
    }
}
