//! Headers that two readers of one request could understand differently.

use reqwest::{
    Method,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, World};

use crate::openapi::{Operation, operations};

fn documented() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&sovd_app::openapi_json()).unwrap();
    operations(&document)
}

fn request(client: &Client, operation: &Operation) -> reqwest::RequestBuilder {
    let segments = operation.path.split('/');
    let filled = segments.map(|it| if it.starts_with('{') { CONNECTED } else { it });
    let path = filled.collect::<Vec<_>>().join("/");
    let request = client.request(operation.method.clone(), &path);
    if path.starts_with("/ws/") {
        return request
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    }
    request
}

#[tokio::test]
async fn two_authorization_headers_are_malformed_everywhere() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let engineer = world.log_in("engineer").await;
    let other = format!("Bearer {}", engineer.token.clone().unwrap());
    let same = format!("Bearer {}", admin.token.clone().unwrap());
    let secured = documented()
        .into_iter()
        .filter(|operation| operation.definition.get("security").is_some());
    for operation in secured {
        for second in [&other, &same, "Bearer x", "Basic eDp5", ""] {
            let request = request(&admin, &operation).header(AUTHORIZATION, second);
            let problem = admin.send(request).await;
            let problem = problem.expect_problem(400, "malformed_request");
            assert_eq!(problem["detail"], "Authorization must be sent once");
        }
    }
    admin.get("/api/v1/auth/me").await.expect(200);
}

#[tokio::test]
async fn a_token_twice_in_the_query_of_a_handshake_is_malformed() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let token = engineer.token.clone().unwrap();
    let stranger = world.stranger();
    let path = format!("/ws/events?token={token}&token={token}");
    let reply = stranger.get(&path).await;
    reply.expect_problem(400, "malformed_request");
}

#[tokio::test]
async fn a_compressed_body_is_an_unsupported_media_type_everywhere() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let with_body = documented()
        .into_iter()
        .filter(|operation| operation.definition.get("requestBody").is_some());
    for operation in with_body {
        for coding in [
            "gzip",
            "br",
            "GZIP",
            "identity, gzip",
            "x-unknown",
            "\u{e9}",
        ] {
            let request = request(&admin, &operation)
                .header(CONTENT_ENCODING, coding)
                .json(&json!({}));
            let reply = admin.send(request).await;
            assert_eq!(reply.headers[ACCEPT_ENCODING], "identity", "{coding}");
            let problem = reply.expect_problem(415, "unsupported_media_type");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("Content-Encoding"), "{problem}");
        }
    }
}

#[tokio::test]
async fn an_identity_coding_is_read() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for codings in [
        &["identity"][..],
        &["Identity", "identity, identity"],
        &[""],
    ] {
        let request = admin.request(Method::POST, "/api/v1/insights/derive");
        let request = codings
            .iter()
            .fold(request.json(&json!({})), |request, coding| {
                request.header(CONTENT_ENCODING, *coding)
            });
        admin.send(request).await.expect(200);
    }
}

#[tokio::test]
async fn an_unsupported_media_type_names_the_one_that_is_read() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let request = admin.request(Method::POST, "/api/v1/insights/derive");
    let request = request.header(CONTENT_TYPE, "text/plain").body("{}");
    let reply = admin.send(request).await;
    assert_eq!(reply.headers[ACCEPT], "application/json");
    assert!(!reply.headers.contains_key(ACCEPT_ENCODING));
    reply.expect_problem(415, "unsupported_media_type");
}
