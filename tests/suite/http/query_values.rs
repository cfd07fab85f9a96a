//! Empty, repeated and unknown query parameters.

use sovd_tests::{CONNECTED, Client, Socket, World};

use crate::openapi::{Operation, document, operations};

fn query_parameters(operation: &Operation) -> Vec<String> {
    let parameters = operation.definition["parameters"].as_array();
    let parameters = parameters.into_iter().flatten();
    parameters
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn rejects_an_empty_value_of_every_query_parameter() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let mut requests = 0;
    for operation in operations(&document()) {
        let path = operation.path_with(CONNECTED);
        if operation.is_websocket() {
            continue;
        }
        for name in query_parameters(&operation) {
            for query in [format!("{name}="), name.clone()] {
                let request = admin.request(operation.method.clone(), &format!("{path}?{query}"));
                let reply = admin.send(request).await;
                let pointer = format!("/{name}");
                reply.expect_bad_field(422, "validation_failed", &pointer);
                requests += 1;
            }
        }
    }
    assert!(requests > 100, "only {requests} requests");
}

#[tokio::test]
async fn states_what_an_empty_filter_accepts() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for (path, accepted) in [
        ("/api/v1/commands?user_id=", "a UUID"),
        ("/api/v1/commands?start_date=", "a time as in RFC 3339"),
        ("/api/v1/commands?limit=", "an integer from 1 to 100"),
        ("/api/v1/commands?offset=", "an integer from 0"),
        ("/api/v1/vehicles?search=", "at least 1 character"),
        ("/api/v1/vehicles?year=", "an integer"),
        (
            "/api/v1/vehicles?status=",
            "one of connected, disconnected, error",
        ),
        ("/api/v1/agent-suspensions?is_active=", "true or false"),
        ("/api/v1/audit-logs/export?format=", "one of csv, ndjson"),
    ] {
        let problem = admin
            .get(path)
            .await
            .expect_problem(422, "validation_failed");
        let expected = format!("must not be empty: send {accepted}, or omit the parameter");
        assert_eq!(problem["errors"][0]["detail"], expected, "{path}");
    }
    let several = admin.get("/api/v1/commands?user_id=&status=&limit=1").await;
    let several = several.expect_problem(422, "validation_failed");
    assert_eq!(several["errors"].as_array().unwrap().len(), 2, "{several}");
}

#[tokio::test]
async fn rejects_an_unknown_parameter_without_a_value() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for query in ["?usr_id=", "?=x", "?="] {
        let reply = admin.get(&format!("/api/v1/commands{query}")).await;
        reply.expect_problem(400, "malformed_request");
    }
}

async fn closing_reason(client: &Client, path: &str) -> String {
    let (events, closing) = client.open_at(path).await.rest().await;
    assert_eq!(events.len(), 0, "{path}");
    assert_eq!(closing.code, 1008, "{path}: {closing:?}");
    closing.reason
}

#[tokio::test]
async fn a_websocket_rejects_empty_and_repeated_values() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let fleet = "/ws/events?vehicle_id=";
    let command = format!("/ws/responses/{CONNECTED}?after=");
    for (path, name) in [
        (fleet.to_owned(), "vehicle_id must be a UUID"),
        (
            format!("{fleet}{CONNECTED}&vehicle_id={CONNECTED}"),
            "vehicle_id must be a UUID, given once",
        ),
        (command.clone(), "after must be an integer from 0"),
        (
            format!("{command}1&after=2"),
            "after must be an integer from 0",
        ),
        (
            format!("{command}2147483648"),
            "after must be an integer from 0",
        ),
    ] {
        let reason = closing_reason(&engineer, &path).await;
        assert!(reason.contains(name), "{path}: {reason}");
    }
}

#[tokio::test]
async fn ignores_an_empty_token_in_the_query() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let reason = closing_reason(&world.anonymous(), "/ws/events?token=").await;
    assert!(reason.starts_with("not_authenticated"), "{reason}");

    let mut socket = engineer.open_at("/ws/events?token=").await;
    engineer.read_dtc().await;
    assert_eq!(socket.next().await.unwrap()["event"], "command");
    let token = engineer.token.clone().unwrap();
    let path = format!("/ws/events?token={token}");
    let mut socket = Socket::open(world.address(), &path, None).await;
    engineer.read_dtc().await;
    assert_eq!(socket.next().await.unwrap()["event"], "command");
}
