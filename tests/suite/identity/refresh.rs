use reqwest::{Method, header::USER_AGENT};
use serde_json::{Value, json};
use sovd_tests::{Client, Reply, World};

const REFRESH: &str = "/api/v1/auth/refresh";
const ME: &str = "/api/v1/auth/me";

/// Shows a refresh token as a client of this name.
async fn show(client: &Client, token: &str, agent: &str) -> Reply {
    let request = client
        .request(Method::POST, REFRESH)
        .header(USER_AGENT, agent)
        .json(&json!({ "refresh_token": token }));
    client.send(request).await
}

/// Spends a refresh token; gives the next.
async fn spend(client: &Client, token: &str) -> String {
    let tokens = show(client, token, "browser").await.expect(200);
    tokens["refresh_token"].as_str().unwrap().to_owned()
}

/// Makes every spent token spent so much earlier.
async fn age(world: &World, interval: &str) {
    let sql =
        format!("UPDATE spent_refresh_tokens SET spent_at = spent_at - interval '{interval}'");
    assert_eq!(world.sql().await.execute(&sql, &[]).await.unwrap(), 1);
}

async fn audited(world: &World, action: &str) -> Vec<Value> {
    let sql = "SELECT to_jsonb(audit_logs) FROM audit_logs WHERE action = $1";
    let rows = world.sql().await.query(sql, &[&action]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_refresh_spends_its_token_and_the_next_is_good() {
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
async fn a_client_that_lost_the_answer_gets_the_same_successor() {
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
async fn a_spent_token_whose_successor_is_spent_ends_the_session_at_once() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let first = spend(&engineer, &engineer.refresh_token).await;
    let second = spend(&engineer, &first).await;
    assert_eq!(
        spend(&engineer, &first).await,
        second,
        "still in its grace period"
    );

    show(&engineer, &engineer.refresh_token, "browser")
        .await
        .expect_problem(401, "session_revoked");
    engineer
        .get(ME)
        .await
        .expect_problem(401, "session_revoked");
    show(&engineer, &second, "browser")
        .await
        .expect_problem(401, "token_invalid");
    let entries = audited(&world, "refresh_token_reuse").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["result"], "refused");
}

#[tokio::test]
async fn of_many_refreshes_at_once_all_get_the_same_successor() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let attempts = (0..10).map(|_| spend(&engineer, &engineer.refresh_token));
    let successors = futures_util::future::join_all(attempts).await;
    assert!(successors.iter().all(|one| *one == successors[0]));
    let spent = "SELECT count(*) FROM spent_refresh_tokens";
    let row = world.sql().await.query_one(spent, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_spent_token_in_other_hands_ends_the_session() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let bystander = world.log_in("engineer").await;
    let next = spend(&engineer, &engineer.refresh_token).await;
    show(&engineer, &engineer.refresh_token, "thief")
        .await
        .expect_problem(401, "session_revoked");
    engineer
        .get(ME)
        .await
        .expect_problem(401, "session_revoked");
    show(&engineer, &next, "browser")
        .await
        .expect_problem(401, "token_invalid");
    bystander.get(ME).await.expect(200);

    let lines = audited(&world, "refresh_token_reuse").await;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["result"], "refused");
    assert_eq!(lines[0]["user_agent"], "thief");
    assert_eq!(lines[0]["ip_address"], "127.0.0.1");
    assert!(lines[0]["entity_id"].is_string() && lines[0]["request_id"].is_string());
    assert!(!lines[0].to_string().contains(&next));
}

#[tokio::test]
async fn a_spent_token_after_ten_seconds_ends_the_session() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    spend(&engineer, &engineer.refresh_token).await;
    age(&world, "11 seconds").await;
    show(&engineer, &engineer.refresh_token, "browser")
        .await
        .expect_problem(401, "session_revoked");
    engineer
        .get(ME)
        .await
        .expect_problem(401, "session_revoked");
}

#[tokio::test]
async fn a_token_that_never_was_ends_nothing() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for token in ["x", &"x".repeat(500), engineer.token.as_ref().unwrap()] {
        show(&engineer, token, "browser")
            .await
            .expect_problem(401, "token_invalid");
    }
    show(&engineer, &"x".repeat(501), "browser")
        .await
        .expect_bad_field(422, "validation_failed", "/refresh_token");
    engineer.get(ME).await.expect(200);
}

#[tokio::test]
async fn an_expired_refresh_token_is_worth_nothing() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let sql = world.sql().await;
    sql.execute(
        "UPDATE sessions SET expires_at = now() - interval '1 second'",
        &[],
    )
    .await
    .unwrap();
    show(&engineer, &engineer.refresh_token, "browser")
        .await
        .expect_problem(401, "token_invalid");
}

#[tokio::test]
async fn no_refresh_prolongs_a_session_past_its_end() {
    let world = World::with(|settings| settings.auth.session_days = 1).await;
    let engineer = world.log_in("engineer").await;
    let sql = world.sql().await;
    let ends = "UPDATE sessions SET ends_at = now() + interval '60 seconds'";
    sql.execute(ends, &[]).await.unwrap();
    let reply = show(&engineer, &engineer.refresh_token, "browser").await;
    let tokens = reply.expect(200);
    assert!((1..=60).contains(&tokens["expires_in"].as_u64().unwrap()));
    let capped = "SELECT expires_at = ends_at FROM sessions";
    assert!(sql.query_one(capped, &[]).await.unwrap().get::<_, bool>(0));

    let mut late = world.stranger();
    late.token = tokens["access_token"].as_str().map(str::to_owned);
    late.get(ME).await.expect(200);
    sql.execute(
        "UPDATE sessions SET expires_at = now(), ends_at = now()",
        &[],
    )
    .await
    .unwrap();
    let next = tokens["refresh_token"].as_str().unwrap();
    show(&engineer, next, "browser")
        .await
        .expect_problem(401, "token_invalid");
}

#[tokio::test]
async fn a_login_lasts_no_longer_than_the_settings_say() {
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
