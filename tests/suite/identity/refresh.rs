use reqwest::{Method, header::USER_AGENT};
use serde_json::json;
use sovd_tests::{Client, Reply, World};

const REFRESH: &str = "/api/v1/auth/refresh";
const ME: &str = "/api/v1/auth/me";

/// Presents a refresh token with this `User-Agent`.
async fn refresh(client: &Client, token: &str, agent: &str) -> Reply {
    let request = client
        .request(Method::POST, REFRESH)
        .header(USER_AGENT, agent)
        .json(&json!({ "refresh_token": token }));
    client.send(request).await
}

/// Exchanges a refresh token for its successor.
async fn spend(client: &Client, token: &str) -> String {
    let tokens = refresh(client, token, "browser").await.expect(200);
    tokens["refresh_token"].as_str().unwrap().to_owned()
}

/// Moves the time at which the token was spent into the past.
async fn age(world: &World, interval: &str) {
    let sql =
        format!("UPDATE spent_refresh_tokens SET spent_at = spent_at - interval '{interval}'");
    assert_eq!(world.sql().await.execute(&sql, &[]).await.unwrap(), 1);
}

#[tokio::test]
async fn refresh_rotates_the_token() {
    let world = World::start().await;
    let mut engineer = world.log_in("engineer").await;
    let old = engineer.refresh_token.clone();
    let body = json!({ "refresh_token": old });
    let tokens = engineer.post(REFRESH, &body).await.expect(200);
    assert_ne!(tokens["refresh_token"], old);
    assert_eq!(tokens["expires_in"], 900);
    engineer.token = tokens["access_token"].as_str().map(str::to_owned);
    engineer.get(ME).await.expect(200);
    let next = tokens["refresh_token"].as_str().unwrap();
    assert_ne!(spend(&engineer, next).await, next);
}

#[tokio::test]
async fn retry_within_the_grace_period_returns_the_same_successor() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let first = spend(&engineer, &engineer.refresh_token).await;
    assert_eq!(spend(&engineer, &engineer.refresh_token).await, first);
    age(&world, "9 seconds").await;
    assert_eq!(spend(&engineer, &engineer.refresh_token).await, first);
    engineer.get(ME).await.expect(200);
    spend(&engineer, &first).await;
}

#[tokio::test]
async fn reuse_after_its_successor_was_spent_ends_the_session() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let first = spend(&engineer, &engineer.refresh_token).await;
    let second = spend(&engineer, &first).await;
    assert_eq!(
        spend(&engineer, &first).await,
        second,
        "within the grace period"
    );

    refresh(&engineer, &engineer.refresh_token, "browser")
        .await
        .expect_problem(401, "session_revoked");
    engineer
        .get(ME)
        .await
        .expect_problem(401, "session_revoked");
    refresh(&engineer, &second, "browser")
        .await
        .expect_problem(401, "token_invalid");
    let entries = world.audit_entries("refresh_token_reuse").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["result"], "refused");
}

#[tokio::test]
async fn concurrent_refreshes_return_the_same_successor() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let refreshes = (0..10).map(|_| spend(&engineer, &engineer.refresh_token));
    let successors = futures_util::future::join_all(refreshes).await;
    assert!(successors.iter().all(|one| *one == successors[0]));
    let spent = "SELECT count(*) FROM spent_refresh_tokens";
    let row = world.sql().await.query_one(spent, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn reuse_by_another_client_ends_the_session() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let bystander = world.log_in("engineer").await;
    let next = spend(&engineer, &engineer.refresh_token).await;
    refresh(&engineer, &engineer.refresh_token, "thief")
        .await
        .expect_problem(401, "session_revoked");
    engineer
        .get(ME)
        .await
        .expect_problem(401, "session_revoked");
    refresh(&engineer, &next, "browser")
        .await
        .expect_problem(401, "token_invalid");
    bystander.get(ME).await.expect(200);

    let entries = world.audit_entries("refresh_token_reuse").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["result"], "refused");
    assert_eq!(entries[0]["user_agent"], "thief");
    assert_eq!(entries[0]["ip_address"], "127.0.0.1");
    assert!(entries[0]["entity_id"].is_string() && entries[0]["request_id"].is_string());
    assert!(!entries[0].to_string().contains(&next));
}

#[tokio::test]
async fn reuse_after_the_grace_period_ends_the_session() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    spend(&engineer, &engineer.refresh_token).await;
    age(&world, "11 seconds").await;
    refresh(&engineer, &engineer.refresh_token, "browser")
        .await
        .expect_problem(401, "session_revoked");
    engineer
        .get(ME)
        .await
        .expect_problem(401, "session_revoked");
}

#[tokio::test]
async fn unknown_token_ends_no_session() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for token in ["x", &"x".repeat(500), engineer.token.as_ref().unwrap()] {
        refresh(&engineer, token, "browser")
            .await
            .expect_problem(401, "token_invalid");
    }
    refresh(&engineer, &"x".repeat(501), "browser")
        .await
        .expect_bad_field(422, "validation_failed", "/refresh_token");
    engineer.get(ME).await.expect(200);
}

#[tokio::test]
async fn rejects_an_expired_refresh_token() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let sql = world.sql().await;
    sql.execute(
        "UPDATE sessions SET expires_at = now() - interval '1 second'",
        &[],
    )
    .await
    .unwrap();
    refresh(&engineer, &engineer.refresh_token, "browser")
        .await
        .expect_problem(401, "token_invalid");
}

#[tokio::test]
async fn refresh_does_not_extend_a_session_past_its_limit() {
    let world = World::with(|settings| settings.auth.session_days = 1).await;
    let engineer = world.log_in("engineer").await;
    let sql = world.sql().await;
    let shorten = "UPDATE sessions SET ends_at = now() + interval '60 seconds'";
    sql.execute(shorten, &[]).await.unwrap();
    let reply = refresh(&engineer, &engineer.refresh_token, "browser").await;
    let tokens = reply.expect(200);
    assert!((1..=60).contains(&tokens["expires_in"].as_u64().unwrap()));
    let capped = "SELECT expires_at = ends_at FROM sessions";
    assert!(sql.query_one(capped, &[]).await.unwrap().get::<_, bool>(0));

    let access_token = tokens["access_token"].as_str().unwrap();
    world.with_token(access_token).get(ME).await.expect(200);
    sql.execute(
        "UPDATE sessions SET expires_at = now(), ends_at = now()",
        &[],
    )
    .await
    .unwrap();
    let next = tokens["refresh_token"].as_str().unwrap();
    refresh(&engineer, next, "browser")
        .await
        .expect_problem(401, "token_invalid");
}

#[tokio::test]
async fn session_lifetime_follows_the_settings() {
    let world = World::with(|settings| {
        settings.auth.session_days = 2;
        settings.auth.refresh_days = 7;
    })
    .await;
    world.log_in("engineer").await;
    let sql = "SELECT expires_at = ends_at, ends_at = created_at + interval '2 days' FROM sessions";
    let row = world.sql().await.query_one(sql, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0) && row.get::<_, bool>(1));
}
