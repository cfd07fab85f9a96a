use reqwest::{Method, header::HeaderMap};
use sovd_tests::World;

#[track_caller]
fn assert_secure(headers: &HeaderMap, path: &str) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(headers[name], value, "{path}: {name}");
    }
    let permissions = headers["permissions-policy"].to_str().unwrap();
    assert!(permissions.contains("camera=()"), "{path}: {permissions}");
    for name in ["server", "x-powered-by"] {
        assert!(!headers.contains_key(name), "{path}: {name}");
    }
}

#[tokio::test]
async fn every_response_has_security_headers() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for (method, path, status) in [
        (Method::GET, "/api/v1/vehicles", 200),
        (Method::HEAD, "/api/v1/vehicles", 200),
        (Method::GET, "/health/live", 200),
        (Method::GET, "/openapi.json", 200),
        (Method::GET, "/api/v1/vehicles/7", 400),
        (Method::POST, "/api/v1/auth/login", 415),
        (Method::GET, "/nothing", 404),
        (Method::GET, "/docsx", 404),
        (Method::DELETE, "/api/v1/commands", 405),
        (Method::GET, "/ws/events", 400),
    ] {
        let request = engineer.request(method, path);
        let reply = engineer.send(request).await;
        assert_eq!(reply.status, status, "{path}");
        assert_secure(&reply.headers, path);
        assert_eq!(
            reply.headers["content-security-policy"], "default-src 'none'; frame-ancestors 'none'",
            "{path}"
        );
        assert_eq!(reply.headers["cache-control"], "no-store", "{path}");
        assert!(
            !reply.headers.contains_key("strict-transport-security"),
            "{path}"
        );
    }
    let anonymous = world.anonymous().get("/api/v1/auth/me").await;
    assert_secure(&anonymous.headers, "unauthenticated");
    anonymous.expect_problem(401, "not_authenticated");

    let id = engineer.read_dtc().await;
    let stream = engineer.listen(&id, None).await.unwrap();
    assert_secure(stream.headers(), "an event stream");
    assert_eq!(stream.headers()["cache-control"], "no-store");
    assert_secure(&engineer.open(&id).await.headers, "a WebSocket");
}

#[tokio::test]
async fn swagger_ui_loads_only_its_own_files() {
    let world = World::start().await;
    let anonymous = world.anonymous();
    let page = anonymous
        .request(Method::GET, "/docs/")
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), 200);
    assert_secure(page.headers(), "/docs/");
    let policy = page.headers()["content-security-policy"].clone();
    let policy = policy.to_str().unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "connect-src 'self'",
        "img-src 'self' data:",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    // The policy forbids inline scripts, so the page must not contain any.
    let page = page.text().await.unwrap();
    let scripts: Vec<&str> = page.split("<script").skip(1).collect();
    assert!(scripts.len() >= 3, "{page}");
    for script in scripts {
        let (head, body) = script.split_once('>').unwrap();
        let file = head.split("src=\"./").nth(1).expect("a file of Swagger UI");
        assert!(body.trim_start().starts_with("</script"), "{body}");
        let path = format!("/docs/{}", file.split('"').next().unwrap());
        let reply = anonymous.get(&path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_secure(&reply.headers, &path);
        assert_eq!(reply.headers["content-security-policy"], policy, "{path}");
    }
    assert!(!page.contains("http://") && !page.contains("https://"));
}

#[tokio::test]
async fn sends_hsts_if_configured() {
    let world = World::with(|settings| settings.server.hsts_seconds = 63_072_000).await;
    for path in ["/health/live", "/nothing", "/docs/"] {
        let reply = world.anonymous().get(path).await;
        assert_eq!(
            reply.headers["strict-transport-security"], "max-age=63072000",
            "{path}"
        );
    }
}
