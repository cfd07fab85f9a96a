//! Authorization: attempts every documented operation with every role and every permission of a key.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, World};
use tokio_tungstenite::tungstenite::Message;

use crate::openapi::{Operation, operations};

const ROLES: [&str; 5] = ["admin", "engineer", "service", "manufacturer", "customer"];

/// The roles that may perform an operation.
type Roles = &'static [&'static str];

/// No authentication required.
const PUBLIC: Roles = &[];
const EVERYONE: Roles = &ROLES;
/// Roles that diagnose vehicles.
const DIAGNOSE: Roles = &["admin", "engineer", "service"];
/// Roles that see bookings.
const SERVED: Roles = &["admin", "engineer", "service", "customer"];
/// Roles that create bookings.
const BOOK: Roles = &["admin", "service", "customer"];
/// Roles that see insights.
const LEARN: Roles = &["admin", "engineer", "service", "manufacturer"];
/// Roles that record insights.
const MAKE: Roles = &["admin", "manufacturer"];
const ADMIN: Roles = &["admin"];

/// Every operation, its roles, and the permission that opens it to an API key.
const TABLE: &[(&str, Roles, Option<&str>)] = &[
    ("POST /api/v1/auth/login", PUBLIC, None),
    ("POST /api/v1/auth/refresh", PUBLIC, None),
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
    ("GET /health", PUBLIC, None),
    ("GET /health/live", PUBLIC, None),
    ("GET /health/ready", PUBLIC, None),
    ("GET /openapi.json", PUBLIC, None),
];

/// Managing bookings requires booking and opens no further operation.
const BOOKS: [&str; 2] = ["bookings.book", "bookings.manage"];
/// Permissions that extend operations that others open.
const EXTENDING: [&[&str]; 2] = [&BOOKS, &["commands.read_all"]];

/// Operations that are served but not documented.
const UNDOCUMENTED: [&str; 1] = ["GET /openapi.json"];

/// The outcome of authentication and authorization.
#[derive(Debug, PartialEq, Eq)]
enum Access {
    NotAuthenticated,
    Forbidden,
    Allowed,
}

/// Attempts an operation on missing resources with an empty body.
async fn attempt(client: &Client, operation: &Operation) -> Access {
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
            Access::NotAuthenticated
        }
        (StatusCode::FORBIDDEN, code) => {
            assert_eq!(code, Some("forbidden"), "{path}");
            Access::Forbidden
        }
        (status, _) => {
            assert!(!status.is_server_error(), "{path}: {}", reply.body);
            Access::Allowed
        }
    }
}

async fn attempt_socket(client: &Client, path: &str) -> Access {
    let mut socket = client.open_at(path).await;
    socket.send(Message::Ping(Vec::new().into())).await;
    match socket.frame().await {
        Some(Message::Close(Some(frame))) if frame.reason.starts_with("not_authenticated") => {
            Access::NotAuthenticated
        }
        Some(Message::Close(Some(frame))) if frame.reason.starts_with("forbidden") => {
            Access::Forbidden
        }
        _ => Access::Allowed,
    }
}

fn agent_name(permission: &str) -> String {
    permission.replace('_', "-")
}

/// Every permission that a key can have, according to the error for an invalid one.
async fn grantable(admin: &Client) -> BTreeSet<String> {
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

/// An agent whose key has these permissions, named after the last.
async fn agent(world: &World, admin: &Client, permissions: &[&str]) -> Client {
    let body = json!({
        "name": agent_name(permissions.last().unwrap()), "role": "admin",
        "permissions": permissions, "expires_in_days": 1,
    });
    let issued = admin
        .post("/api/v1/service-accounts", &body)
        .await
        .expect(201);
    world.with_token(issued["api_key"].as_str().unwrap())
}

fn name(operation: &Operation) -> String {
    format!("{} {}", operation.method, operation.path)
}

fn row(operation: &Operation) -> (Roles, Option<&'static str>) {
    let name = name(operation);
    let row = TABLE.iter().find(|row| row.0 == name);
    let row = row.unwrap_or_else(|| panic!("{name} is missing from the table"));
    (row.1, row.2)
}

async fn document(world: &World) -> Vec<Operation> {
    let document: Value = world.anonymous().get("/openapi.json").await.expect(200);
    operations(&document)
}

#[tokio::test]
async fn table_lists_every_operation_once() {
    let world = World::start().await;
    let operations = document(&world).await;
    let documented: BTreeSet<String> = operations.iter().map(name).collect();
    let tabled: BTreeSet<String> = TABLE.iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(tabled.len(), TABLE.len());
    let undocumented = UNDOCUMENTED.iter().map(|name| (*name).to_owned());
    let known: BTreeSet<String> = documented.into_iter().chain(undocumented).collect();
    assert_eq!(known, tabled);
    for operation in &operations {
        let requires_token = operation.definition.get("security").is_some();
        let is_public = row(operation).0 == PUBLIC;
        assert_ne!(
            requires_token,
            is_public,
            "wrong `security` of {}",
            name(operation)
        );
    }
}

#[tokio::test]
async fn unauthenticated_requests_match_the_table() {
    let world = World::start().await;
    for operation in document(&world).await {
        let access = attempt(&world.anonymous(), &operation).await;
        let name = name(&operation);
        if row(&operation).0 == PUBLIC {
            // The empty body is invalid, but no token is required.
            assert_eq!(access, Access::Allowed, "{name}");
        } else {
            assert_eq!(access, Access::NotAuthenticated, "{name}");
        }
    }
}

#[tokio::test]
async fn every_role_matches_the_table() {
    let world = World::start().await;
    for operation in document(&world).await {
        let roles = row(&operation).0;
        for role in ROLES {
            // A logout ends the session, so each attempt needs a new one.
            let client = world.log_in(role).await;
            let access = attempt(&client, &operation).await;
            let expected = if roles == PUBLIC || roles.contains(&role) {
                Access::Allowed
            } else {
                Access::Forbidden
            };
            assert_eq!(access, expected, "{} by {role}", name(&operation));
        }
    }
}

#[tokio::test]
async fn every_key_matches_the_table() {
    let tabled: BTreeSet<&str> = TABLE.iter().filter_map(|row| row.2).collect();
    let mut keys: Vec<Vec<&str>> = tabled.into_iter().map(|key| vec![key]).collect();
    keys.extend(EXTENDING.map(<[&str]>::to_vec));
    let world = World::with(|settings| {
        let writing = TABLE.iter().filter(|row| !row.0.starts_with("GET "));
        let allowed = writing.filter_map(|row| row.2);
        settings.agents.allow = allowed
            .map(|key| format!("{}:{key}", agent_name(key)))
            .chain(BOOKS.map(|key| format!("{}:{key}", agent_name(BOOKS[1]))))
            .collect();
    })
    .await;
    let admin = world.log_in("admin").await;
    let tried: BTreeSet<String> = keys.iter().flatten().map(|&key| key.to_owned()).collect();
    assert_eq!(tried, grantable(&admin).await);
    let operations = document(&world).await;
    for permissions in keys {
        let agent = agent(&world, &admin, &permissions).await;
        for operation in &operations {
            let (roles, permission) = row(operation);
            let access = attempt(&agent, operation).await;
            let is_granted = permission.is_some_and(|key| permissions.contains(&key));
            let expected = if roles == PUBLIC || is_granted {
                Access::Allowed
            } else {
                Access::Forbidden
            };
            assert_eq!(access, expected, "{} with {permissions:?}", name(operation));
        }
    }
}
