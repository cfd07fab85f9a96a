use reqwest::Method;
use sovd_tests::{Client, Reply, World};

const ORIGIN: &str = "https://app.example.com";

async fn preflight(client: &Client, origin: &str) -> Reply {
    let request = client
        .request(Method::OPTIONS, "/api/v1/commands")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header(
            "Access-Control-Request-Headers",
            "authorization, content-type, idempotency-key, last-event-id, x-request-id",
        );
    client.send(request).await
}

#[tokio::test]
async fn a_configured_origin_may_call_and_read_the_headers() {
    let world = World::with(|settings| settings.server.cors_origins = vec![ORIGIN.into()]).await;
    let stranger = world.stranger();
    let reply = preflight(&stranger, ORIGIN).await;
    assert_eq!(reply.status, 200);
    let allowed = reply.headers["access-control-allow-headers"]
        .to_str()
        .unwrap()
        .to_lowercase();
    assert!(allowed.contains("last-event-id"), "{allowed}");
    assert_eq!(reply.headers["access-control-allow-origin"], ORIGIN);
    assert!(
        !reply
            .headers
            .contains_key("access-control-allow-credentials")
    );

    let request = stranger
        .request(Method::GET, "/api/v1/commands")
        .header("Origin", ORIGIN);
    let refused = stranger.send(request).await;
    assert_eq!(refused.headers["access-control-allow-origin"], ORIGIN);
    let exposed = refused.headers["access-control-expose-headers"]
        .to_str()
        .unwrap()
        .to_lowercase();
    assert!(
        exposed.contains("x-request-id") && exposed.contains("link"),
        "{exposed}"
    );
    refused.expect_problem(401, "not_authenticated");
}

#[tokio::test]
async fn another_origin_may_not() {
    let world = World::with(|settings| settings.server.cors_origins = vec![ORIGIN.into()]).await;
    let stranger = world.stranger();
    for origin in [
        "https://evil.example.com",
        "https://app.example.com.evil.com",
        "null",
    ] {
        let reply = preflight(&stranger, origin).await;
        assert!(
            !reply.headers.contains_key("access-control-allow-origin"),
            "{origin}"
        );
    }
}
