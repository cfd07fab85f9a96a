//! Who may do what: every operation of the document, tried by every role.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, World};
use tokio_tungstenite::tungstenite::Message;

use crate::openapi::{Operation, operations};

const ROLES: [&str; 5] = ["admin", "engineer", "service", "manufacturer", "customer"];

/// Whom an operation is for.
type Who = &'static [&'static str];

/// Also those without a token.
const ANYBODY: Who = &[];
/// Every role there is.
const EVERYONE: Who = &ROLES;
/// Those who talk to vehicles.
const DIAGNOSE: Who = &["admin", "engineer", "service"];
/// Those who see what is booked.
const SERVED: Who = &["admin", "engineer", "service", "customer"];
/// Those who book.
const BOOK: Who = &["admin", "service", "customer"];
/// Those who learn from the fleet.
const LEARN: Who = &["admin", "engineer", "service", "manufacturer"];
/// Those who make vehicles.
const MAKE: Who = &["admin", "manufacturer"];
const ADMIN: Who = &["admin"];

/// Every operation, and what a key must open for a machine to do it too.
const TABLE: &[(&str, Who, Option<&str>)] = &[
    ("POST /api/v1/auth/login", ANYBODY, None),
    ("POST /api/v1/auth/refresh", ANYBODY, None),
    ("POST /api/v1/auth/logout", EVERYONE, None),
    ("GET /api/v1/auth/me", EVERYONE, Some("account.read")),
    ("POST /api/v1/auth/password", EVERYONE, None),
    ("GET /api/v1/auth/sessions", EVERYONE, None),
    ("DELETE /api/v1/auth/sessions/{session_id}", EVERYONE, None),
    ("GET /api/v1/users", ADMIN, None),
    ("POST /api/v1/users", ADMIN, None),
    ("GET /api/v1/users/{user_id}", ADMIN, None),
    ("PATCH /api/v1/users/{user_id}", ADMIN, None),
    ("DELETE /api/v1/users/{user_id}", ADMIN, None),
    ("GET /api/v1/service-accounts", ADMIN, None),
    ("POST /api/v1/service-accounts", ADMIN, None),
    (
        "GET /api/v1/service-accounts/{service_account_id}",
        ADMIN,
        None,
    ),
    (
        "POST /api/v1/service-accounts/{service_account_id}/key",
        ADMIN,
        None,
    ),
    (
        "DELETE /api/v1/service-accounts/{service_account_id}",
        ADMIN,
        None,
    ),
    ("GET /api/v1/vehicles", EVERYONE, Some("vehicles.read")),
    (
        "GET /api/v1/vehicles/{vehicle_id}",
        EVERYONE,
        Some("vehicles.read"),
    ),
    (
        "GET /api/v1/vehicles/{vehicle_id}/status",
        EVERYONE,
        Some("vehicles.read"),
    ),
    ("POST /api/v1/vehicles", ADMIN, Some("vehicles.manage")),
    (
        "PATCH /api/v1/vehicles/{vehicle_id}",
        ADMIN,
        Some("vehicles.manage"),
    ),
    (
        "DELETE /api/v1/vehicles/{vehicle_id}",
        ADMIN,
        Some("vehicles.manage"),
    ),
    (
        "GET /api/v1/vehicles/{vehicle_id}/anomalies",
        EVERYONE,
        Some("anomalies.read"),
    ),
    (
        "POST /api/v1/vehicles/{vehicle_id}/anomalies",
        DIAGNOSE,
        Some("anomalies.record"),
    ),
    ("GET /api/v1/anomalies", EVERYONE, Some("anomalies.read")),
    ("POST /api/v1/anomalies", DIAGNOSE, Some("anomalies.record")),
    (
        "GET /api/v1/anomalies/{anomaly_id}",
        EVERYONE,
        Some("anomalies.read"),
    ),
    (
        "GET /api/v1/anomalies/{anomaly_id}/diagnoses",
        EVERYONE,
        Some("anomalies.read"),
    ),
    (
        "POST /api/v1/anomalies/{anomaly_id}/diagnoses",
        DIAGNOSE,
        Some("anomalies.record"),
    ),
    (
        "GET /api/v1/commands/catalog",
        DIAGNOSE,
        Some("commands.submit"),
    ),
    ("POST /api/v1/commands", DIAGNOSE, Some("commands.submit")),
    ("GET /api/v1/commands", DIAGNOSE, Some("commands.read")),
    (
        "GET /api/v1/commands/{command_id}",
        DIAGNOSE,
        Some("commands.read"),
    ),
    (
        "POST /api/v1/commands/{command_id}/cancel",
        DIAGNOSE,
        Some("commands.cancel"),
    ),
    (
        "GET /api/v1/commands/{command_id}/responses",
        DIAGNOSE,
        Some("commands.read"),
    ),
    (
        "GET /api/v1/commands/{command_id}/events",
        DIAGNOSE,
        Some("commands.read"),
    ),
    (
        "GET /ws/responses/{command_id}",
        DIAGNOSE,
        Some("commands.read"),
    ),
    ("GET /ws/events", EVERYONE, Some("vehicles.read")),
    ("GET /api/v1/bookings", SERVED, Some("bookings.read")),
    ("POST /api/v1/bookings", BOOK, Some("bookings.book")),
    (
        "GET /api/v1/bookings/{booking_id}",
        SERVED,
        Some("bookings.read"),
    ),
    (
        "PATCH /api/v1/bookings/{booking_id}",
        BOOK,
        Some("bookings.book"),
    ),
    ("GET /api/v1/insights", LEARN, Some("insights.read")),
    ("POST /api/v1/insights", MAKE, Some("insights.record")),
    ("GET /api/v1/insights/summary", LEARN, Some("insights.read")),
    (
        "GET /api/v1/insights/detectors",
        LEARN,
        Some("insights.read"),
    ),
    (
        "POST /api/v1/insights/derive",
        MAKE,
        Some("insights.record"),
    ),
    (
        "GET /api/v1/insights/{insight_id}",
        LEARN,
        Some("insights.read"),
    ),
    ("GET /api/v1/ueba-logs", ADMIN, Some("agents.read")),
    ("POST /api/v1/ueba-logs", ADMIN, Some("agents.record")),
    ("GET /api/v1/agent-suspensions", ADMIN, Some("agents.read")),
    (
        "DELETE /api/v1/agent-suspensions/{suspension_id}",
        ADMIN,
        None,
    ),
    ("GET /api/v1/audit-logs", ADMIN, Some("audit.read")),
    ("GET /api/v1/audit-logs/export", ADMIN, Some("audit.read")),
    ("GET /health", ANYBODY, None),
    ("GET /health/live", ANYBODY, None),
    ("GET /health/ready", ANYBODY, None),
    ("GET /openapi.json", ANYBODY, None),
];

/// What opens no operation of its own: managing bookings comes with booking.
const BOOKS: [&str; 2] = ["bookings.book", "bookings.manage"];
/// It shows more of what others open.
const FURTHER: [&[&str]; 2] = [&BOOKS, &["commands.read_all"]];

/// What is served and not in the document.
const BESIDE: [&str; 1] = ["GET /openapi.json"];

/// What somebody is told who tries.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    NotAuthenticated,
    Forbidden,
    Allowed,
}

/// Tries an operation on things that are not there, with a body that says nothing.
async fn attempt(client: &Client, operation: &Operation) -> Answer {
    let path: Vec<&str> = operation
        .path
        .split('/')
        .map(|part| {
            if part.starts_with('{') {
                CONNECTED
            } else {
                part
            }
        })
        .collect();
    let path = path.join("/");
    if path.starts_with("/ws/") {
        return attempt_socket(client, &path).await;
    }
    let request = client.request(operation.method.clone(), &path);
    let request = if operation.definition.get("requestBody").is_some() {
        request.json(&json!({}))
    } else {
        request
    };
    let reply = client.send(request).await;
    match (reply.status, reply.body["code"].as_str()) {
        (StatusCode::UNAUTHORIZED, code) => {
            assert_eq!(code, Some("not_authenticated"), "{path}");
            Answer::NotAuthenticated
        }
        (StatusCode::FORBIDDEN, code) => {
            assert_eq!(code, Some("forbidden"), "{path}");
            Answer::Forbidden
        }
        (status, _) => {
            assert!(!status.is_server_error(), "{path}: {}", reply.body);
            Answer::Allowed
        }
    }
}

async fn attempt_socket(client: &Client, path: &str) -> Answer {
    let mut socket = client.open_at(path).await;
    socket.send(Message::Ping(Vec::new().into())).await;
    match socket.frame().await {
        Some(Message::Close(Some(frame))) if frame.reason.starts_with("not_authenticated") => {
            Answer::NotAuthenticated
        }
        Some(Message::Close(Some(frame))) if frame.reason.starts_with("forbidden") => {
            Answer::Forbidden
        }
        _ => Answer::Allowed,
    }
}

fn machine_name(permission: &str) -> String {
    permission.replace('_', "-")
}

/// Every permission that a key may have, as the refusal of another tells.
async fn possible(admin: &Client) -> BTreeSet<String> {
    let body = json!({
        "name": "nothing", "role": "admin", "permissions": ["nothing"], "expires_in_days": 1,
    });
    let refused = admin.post("/api/v1/service-accounts", &body).await;
    let refused = refused.expect_bad_field(422, "validation_failed", "/permissions/0");
    let detail = refused["errors"][0]["detail"].as_str().unwrap();
    let words = detail.strip_prefix("must be one of ").unwrap().split(", ");
    words
        .filter(|word| word.contains('.'))
        .map(str::to_owned)
        .collect()
}

/// A machine whose key opens these things, named after the last.
async fn machine(world: &World, admin: &Client, permissions: &[&str]) -> Client {
    let body = json!({
        "name": machine_name(permissions.last().unwrap()), "role": "admin",
        "permissions": permissions, "expires_in_days": 1,
    });
    let issued = admin
        .post("/api/v1/service-accounts", &body)
        .await
        .expect(201);
    let mut machine = world.stranger();
    machine.token = issued["api_key"].as_str().map(str::to_owned);
    machine
}

fn name(operation: &Operation) -> String {
    format!("{} {}", operation.method, operation.path)
}

fn row(operation: &Operation) -> (Who, Option<&'static str>) {
    let name = name(operation);
    let row = TABLE.iter().find(|row| row.0 == name);
    let row = row.unwrap_or_else(|| panic!("{name} has no row in the table of who may do what"));
    (row.1, row.2)
}

async fn document(world: &World) -> Vec<Operation> {
    let document: Value = world.stranger().get("/openapi.json").await.expect(200);
    operations(&document)
}

#[tokio::test]
async fn the_table_has_every_operation_once_and_no_other() {
    let world = World::start().await;
    let operations = document(&world).await;
    let documented: BTreeSet<String> = operations.iter().map(name).collect();
    let tabled: BTreeSet<String> = TABLE.iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(tabled.len(), TABLE.len());
    let beside = BESIDE.iter().map(|name| (*name).to_owned());
    let known: BTreeSet<String> = documented.into_iter().chain(beside).collect();
    assert_eq!(known, tabled);
    for operation in &operations {
        let says_so = operation.definition.get("security").is_some();
        let is_open = row(operation).0 == ANYBODY;
        assert_ne!(
            says_so,
            is_open,
            "the document is wrong about {}",
            name(operation)
        );
    }
}

#[tokio::test]
async fn strangers_get_what_the_table_says() {
    let world = World::start().await;
    for operation in document(&world).await {
        let answer = attempt(&world.stranger(), &operation).await;
        let name = name(&operation);
        if row(&operation).0 == ANYBODY {
            // A login without a name is no login; it is not refused for want of a token.
            assert_eq!(answer, Answer::Allowed, "{name}");
        } else {
            assert_eq!(answer, Answer::NotAuthenticated, "{name}");
        }
    }
}

#[tokio::test]
async fn every_role_gets_what_the_table_says() {
    let world = World::start().await;
    for operation in document(&world).await {
        let who = row(&operation).0;
        for role in ROLES {
            // Logging out ends the session, so each attempt has one of its own.
            let client = world.log_in(role).await;
            let answer = attempt(&client, &operation).await;
            let expected = if who == ANYBODY || who.contains(&role) {
                Answer::Allowed
            } else {
                Answer::Forbidden
            };
            assert_eq!(answer, expected, "{} by {role}", name(&operation));
        }
    }
}

#[tokio::test]
async fn every_key_opens_what_the_table_says_and_nothing_else() {
    let tabled: BTreeSet<&str> = TABLE.iter().filter_map(|row| row.2).collect();
    let mut keys: Vec<Vec<&str>> = tabled.into_iter().map(|key| vec![key]).collect();
    keys.extend(FURTHER.map(<[&str]>::to_vec));
    let world = World::with(|settings| {
        let writing = TABLE.iter().filter(|row| !row.0.starts_with("GET "));
        let allowed = writing.filter_map(|row| row.2);
        settings.agents.allow = allowed
            .map(|key| format!("{}:{key}", machine_name(key)))
            .chain(BOOKS.map(|key| format!("{}:{key}", machine_name(BOOKS[1]))))
            .collect();
    })
    .await;
    let admin = world.log_in("admin").await;
    let tried: BTreeSet<String> = keys.iter().flatten().map(|&key| key.to_owned()).collect();
    assert_eq!(tried, possible(&admin).await);
    let operations = document(&world).await;
    for permissions in keys {
        let machine = machine(&world, &admin, &permissions).await;
        for operation in &operations {
            let (who, opened_by) = row(operation);
            let answer = attempt(&machine, operation).await;
            let opens = opened_by.is_some_and(|key| permissions.contains(&key));
            let expected = if who == ANYBODY || opens {
                Answer::Allowed
            } else {
                Answer::Forbidden
            };
            assert_eq!(answer, expected, "{} with {permissions:?}", name(operation));
        }
    }
}
