use reqwest::Method;
use sovd_tests::{Client, Reply, World};

const ORIGIN: &str = "https://app.example.com";

async fn preflight(client: &Client, origin: &str) -> Reply {
    preflight_of(client, origin, "POST").await
}

async fn preflight_of(client: &Client, origin: &str, method: &str) -> Reply {
    let request = client
        .request(Method::OPTIONS, "/api/v1/commands")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
        .header(
            "Access-Control-Request-Headers",
            "authorization, content-type, idempotency-key, last-event-id, x-request-id",
        );
    client.send(request).await
}

#[tokio::test]
async fn allows_a_configured_origin() {
    let world = World::with(|settings| settings.server.cors_origins = vec![ORIGIN.into()]).await;
    let anonymous = world.anonymous();
    let reply = preflight(&anonymous, ORIGIN).await;
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

    let request = anonymous
        .request(Method::GET, "/api/v1/commands")
        .header("Origin", ORIGIN);
    let rejected = anonymous.send(request).await;
    assert_eq!(rejected.headers["access-control-allow-origin"], ORIGIN);
    let exposed = rejected.headers["access-control-expose-headers"]
        .to_str()
        .unwrap()
        .to_lowercase();
    assert!(
        exposed.contains("x-request-id") && exposed.contains("link"),
        "{exposed}"
    );
    rejected.expect_problem(401, "not_authenticated");
}

#[tokio::test]
async fn rejects_other_origins() {
    let world = World::with(|settings| settings.server.cors_origins = vec![ORIGIN.into()]).await;
    let anonymous = world.anonymous();
    for origin in [
        "https://evil.example.com",
        "https://app.example.com.evil.com",
        "https://app.example.com:8443",
        "http://app.example.com",
        "https://APP.example.com",
        "https://app.example.com/",
        "https://app.example.com, https://evil.example.com",
        "null",
        "*",
        "",
    ] {
        let rejected = preflight(&anonymous, origin).await;
        let call = anonymous
            .request(Method::GET, "/health/live")
            .header("Origin", origin);
        let unreadable = anonymous.send(call).await;
        for reply in [rejected, unreadable] {
            assert_nothing_allowed(&reply, origin);
        }
    }
}

#[tokio::test]
async fn rejects_every_origin_by_default() {
    let world = World::start().await;
    for origin in [ORIGIN, "http://localhost:3000", "null"] {
        assert_nothing_allowed(&preflight(&world.anonymous(), origin).await, origin);
    }
}

#[track_caller]
fn assert_nothing_allowed(reply: &Reply, case: &str) {
    for name in [
        "access-control-allow-origin",
        "access-control-allow-methods",
        "access-control-allow-headers",
        "access-control-allow-credentials",
    ] {
        assert!(!reply.headers.contains_key(name), "{case}: {name}");
    }
}

#[tokio::test]
async fn allows_only_the_methods_and_headers_of_the_api() {
    let world = World::with(|settings| settings.server.cors_origins = vec![ORIGIN.into()]).await;
    let anonymous = world.anonymous();
    for method in ["GET", "POST", "PATCH", "DELETE"] {
        let reply = preflight_of(&anonymous, ORIGIN, method).await;
        assert_eq!(reply.status, 200, "{method}");
        let allowed = reply.headers["access-control-allow-methods"].clone();
        assert!(allowed.to_str().unwrap().contains(method), "{allowed:?}");
    }
    for method in ["PUT", "TRACE", "CONNECT", "post", "*"] {
        let reply = preflight_of(&anonymous, ORIGIN, method).await;
        assert_eq!(reply.status, 400, "{method}");
        assert_nothing_allowed(&reply, method);
    }
    let request = anonymous
        .request(Method::OPTIONS, "/api/v1/commands")
        .header("Origin", ORIGIN)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "x-forwarded-for");
    let reply = anonymous.send(request).await;
    assert_eq!(reply.status, 400);
    assert_nothing_allowed(&reply, "another header");
}

#[tokio::test]
async fn never_allows_credentials() {
    for origins in [vec![ORIGIN.to_owned()], vec!["*".to_owned()]] {
        let world = World::with(|settings| settings.server.cors_origins = origins.clone()).await;
        let engineer = world.log_in("engineer").await;
        let call = engineer
            .request(Method::GET, "/api/v1/vehicles")
            .header("Origin", ORIGIN)
            .header("Cookie", "session=1");
        let response = engineer.send(call).await;
        assert_eq!(response.status, 200);
        for reply in [preflight(&engineer, ORIGIN).await, response] {
            let allowed = &reply.headers["access-control-allow-origin"];
            assert!(allowed == ORIGIN || allowed == "*", "{allowed:?}");
            assert!(
                !reply
                    .headers
                    .contains_key("access-control-allow-credentials"),
                "{origins:?}"
            );
            // A cache must not serve one origin's response to another.
            let vary = reply.headers["vary"].to_str().unwrap().to_lowercase();
            assert!(vary.contains("origin"), "{vary}");
        }
    }
}
