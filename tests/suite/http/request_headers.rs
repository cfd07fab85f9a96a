//! Headers that a proxy and the server could interpret differently.

use reqwest::{
    Method,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use serde_json::json;
use sovd_tests::{CONNECTED, Client, World};

use crate::openapi::{Operation, document, operations};

fn request(client: &Client, operation: &Operation) -> reqwest::RequestBuilder {
    let request = client.request(operation.method.clone(), &operation.path_with(CONNECTED));
    if operation.is_websocket() {
        return request
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    }
    request
}

#[tokio::test]
async fn every_operation_rejects_two_authorization_headers() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let engineer = world.log_in("engineer").await;
    let other = format!("Bearer {}", engineer.token.clone().unwrap());
    let same = format!("Bearer {}", admin.token.clone().unwrap());
    let secured = operations(&document())
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
async fn rejects_a_repeated_token_in_the_query_of_a_handshake() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let token = engineer.token.clone().unwrap();
    let anonymous = world.anonymous();
    let path = format!("/ws/events?token={token}&token={token}");
    let reply = anonymous.get(&path).await;
    reply.expect_problem(400, "malformed_request");
}

#[tokio::test]
async fn every_operation_rejects_a_compressed_body() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let with_body = operations(&document())
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
async fn accepts_the_identity_coding() {
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
async fn names_the_supported_media_type() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let request = admin.request(Method::POST, "/api/v1/insights/derive");
    let request = request.header(CONTENT_TYPE, "text/plain").body("{}");
    let reply = admin.send(request).await;
    assert_eq!(reply.headers[ACCEPT], "application/json");
    assert!(!reply.headers.contains_key(ACCEPT_ENCODING));
    reply.expect_problem(415, "unsupported_media_type");
}
