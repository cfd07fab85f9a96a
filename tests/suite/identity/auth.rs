use serde_json::{Value, json};
use sovd_tests::World;

const LOGIN: &str = "/api/v1/auth/login";
const REFRESH: &str = "/api/v1/auth/refresh";
const LOGOUT: &str = "/api/v1/auth/logout";
const ME: &str = "/api/v1/auth/me";

#[tokio::test]
async fn login_returns_tokens_of_the_documented_shape() {
    let world = World::start().await;
    let body = json!({ "username": "engineer", "password": "engineer123" });
    let tokens = world.anonymous().post(LOGIN, &body).await.expect(200);
    assert_eq!(tokens["token_type"], "bearer");
    assert_eq!(tokens["expires_in"], 900);
    let fields: Vec<&String> = tokens.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        ["access_token", "expires_in", "refresh_token", "token_type"]
    );

    let engineer = world.log_in("engineer").await;
    let me = engineer.get(ME).await.expect(200);
    assert_eq!(me["username"], "engineer");
    assert_eq!(me["email"], "engineer@sovd.example.com");
    assert_eq!(me["role"], "engineer");
    assert_eq!(me["user_id"], "00000000-0000-0000-0000-000000000002");
    assert_eq!(me.as_object().unwrap().len(), 4);
}

#[tokio::test]
async fn unknown_user_and_wrong_password_get_the_same_response() {
    let world = World::start().await;
    let attempt = async |username: &str, password: &str| {
        let body = json!({ "username": username, "password": password });
        let mut problem = world
            .anonymous()
            .post(LOGIN, &body)
            .await
            .expect_problem(401, "invalid_credentials");
        problem["correlation_id"] = Value::Null;
        problem
    };
    let wrong = attempt("engineer", "wrong").await;
    assert_eq!(attempt("nobody", "engineer123").await, wrong);
    assert_eq!(attempt("ENGINEER", "engineer123").await, wrong);
    assert_eq!(attempt("engineer", &"x".repeat(100)).await, wrong);
    assert_eq!(attempt("engineer' OR '1'='1", "x").await, wrong);

    let entries = world.audit_entries("auth.login_failed").await;
    assert_eq!(entries.len(), 5);
    let contains_password = |entry: &Value| entry.to_string().contains("engineer123");
    assert!(!entries.iter().any(contains_password));
}

/// The audit entries of refused logins, oldest first.
async fn refused_logins(world: &World) -> Vec<Value> {
    let sql = "SELECT to_jsonb(audit_logs) FROM audit_logs
               WHERE action LIKE 'auth.login%' AND result = 'refused' ORDER BY timestamp";
    let rows = world.sql().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn audits_a_digest_in_place_of_an_unknown_user_name() {
    const PASSWORD: &str = "correct horse battery staple";
    let world = World::with(|settings| settings.auth.account_attempts = 1).await;
    let attempt = async |username: &str| {
        let body = json!({ "username": username, "password": "x" });
        world.anonymous().post(LOGIN, &body).await
    };
    for username in [PASSWORD, PASSWORD, "another one", "engineer", "engineer"] {
        attempt(username)
            .await
            .expect_problem(401, "invalid_credentials");
    }
    for username in [PASSWORD, "engineer"] {
        attempt(username).await.expect_problem(429, "rate_limited");
    }

    let entries = refused_logins(&world).await;
    let details = |index: usize| &entries[index]["details"];
    assert_eq!(entries.len(), 7, "{entries:?}");
    assert!(entries.iter().all(|it| !it.to_string().contains(PASSWORD)));
    let digest = details(0)["username_hmac"].as_str().unwrap();
    assert_eq!(digest.len(), 43);
    assert_eq!(details(0), &json!({ "username_hmac": digest }));
    assert_eq!(
        details(1),
        details(0),
        "equal names must have equal digests"
    );
    assert_ne!(details(2), details(0));
    assert_eq!(details(3), &json!({ "username": "engineer" }));
    assert_eq!(details(5)["username_hmac"], digest);
    assert_eq!(details(6)["username"], "engineer");
}

#[tokio::test]
async fn validates_login_fields() {
    let world = World::start().await;
    let attempt = async |username: String, password: String| {
        let body = json!({ "username": username, "password": password });
        world.anonymous().post(LOGIN, &body).await
    };
    let engineer = || "engineer".to_owned();
    attempt("u".repeat(50), "p".repeat(128))
        .await
        .expect_problem(401, "invalid_credentials");
    for (username, password, pointer) in [
        ("u".repeat(51), "p".to_owned(), "/username"),
        (String::new(), "p".to_owned(), "/username"),
        (engineer(), "p".repeat(129), "/password"),
        (engineer(), String::new(), "/password"),
        (engineer(), "hunter\u{0}2".to_owned(), "/password"),
    ] {
        let problem = attempt(username, password.clone()).await.expect_bad_field(
            422,
            "validation_failed",
            pointer,
        );
        let secret = password.trim_matches('p');
        assert!(
            secret.is_empty() || !problem.to_string().contains(secret),
            "{problem}"
        );
    }
    world
        .anonymous()
        .post(LOGIN, &json!({ "username": "engineer" }))
        .await
        .expect_bad_field(422, "validation_failed", "/password");
}

#[tokio::test]
async fn stores_only_hashes_of_refresh_tokens() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let sql = world.sql().await;
    let row = sql
        .query_one("SELECT refresh_token FROM sessions", &[])
        .await
        .unwrap();
    let stored: String = row.get(0);
    assert_ne!(stored, engineer.refresh_token);
    assert_eq!(stored.len(), 64, "SHA-256 in hexadecimal");
}

#[tokio::test]
async fn logout_ends_one_session_or_all() {
    let world = World::start().await;
    let one = world.log_in("engineer").await;
    let two = world.log_in("engineer").await;
    let three = world.log_in("engineer").await;
    let other = world.log_in("other").await;

    let body = json!({ "refresh_token": two.refresh_token });
    let reply = one.post(LOGOUT, &body).await.expect(200);
    assert!(reply["message"].is_string());
    two.get(ME).await.expect_problem(401, "session_revoked");
    two.post(REFRESH, &body)
        .await
        .expect_problem(401, "token_invalid");
    one.get(ME).await.expect(200);

    one.send(one.request(reqwest::Method::POST, LOGOUT))
        .await
        .expect(200);
    for ended in [&one, &three] {
        ended.get(ME).await.expect_problem(401, "session_revoked");
    }
    other.get(ME).await.expect(200);
}

#[tokio::test]
async fn logout_ignores_tokens_of_other_users() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let other = world.log_in("other").await;
    other
        .post(LOGOUT, &json!({ "refresh_token": engineer.refresh_token }))
        .await
        .expect(200);
    engineer.get(ME).await.expect(200);
}

#[tokio::test]
async fn limits_requests_per_user() {
    let world = World::with(|settings| settings.limits.requests_per_minute = 5).await;
    let engineer = world.log_in("engineer").await;
    for _ in 0..5 {
        engineer.get(ME).await.expect(200);
    }
    let refused = engineer.get(ME).await;
    let seconds: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=13).contains(&seconds), "{seconds}");
    refused.expect_problem(429, "rate_limited");
    world.log_in("other").await.get(ME).await.expect(200);
}
