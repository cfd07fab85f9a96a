use reqwest::{Method, header::USER_AGENT};
use serde_json::{Value, json};
use sovd_devstack::{Postgres, SearchPath};
use sovd_tests::{Client, World, WorldOptions, within};

const ME: &str = "/api/v1/auth/me";
const LOGOUT: &str = "/api/v1/auth/logout";
const SESSIONS: &str = "/api/v1/auth/sessions";

async fn sessions(client: &Client) -> Vec<Value> {
    let sessions = client.get(SESSIONS).await.expect(200);
    sessions.as_array().unwrap().clone()
}

/// The path of the client's current session.
async fn current_session(client: &Client) -> String {
    let sessions = sessions(client).await;
    let current = sessions.iter().find(|it| it["current"] == true).unwrap();
    format!("{SESSIONS}/{}", current["session_id"].as_str().unwrap())
}

async fn log_out(client: &Client) {
    let request = client.request(Method::POST, LOGOUT);
    client.send(request).await.expect(200);
}

/// Polls until the session is revoked.
async fn until_revoked(client: &Client) {
    within("the session to end", async {
        loop {
            let reply = client.get(ME).await;
            if reply.status == 401 {
                reply.expect_problem(401, "session_revoked");
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn lists_own_sessions_and_marks_the_current_one() {
    let world = World::start().await;
    let one = world.log_in("engineer").await;
    let two = world.log_in("engineer").await;
    world.log_in("other").await;
    let listed = sessions(&one).await;
    assert_eq!(listed.len(), 2);
    let current: Vec<&Value> = listed.iter().filter(|it| it["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["ip_address"], "127.0.0.1");
    for moment in ["created_at", "expires_at", "last_used_at"] {
        assert!(current[0][moment].as_str().unwrap().ends_with('Z'));
    }
    let other_path = current_session(&two).await;
    assert!(!other_path.ends_with(current[0]["session_id"].as_str().unwrap()));
    assert!(
        !listed
            .iter()
            .any(|it| it.to_string().contains(&one.refresh_token))
    );
}

#[tokio::test]
async fn shows_the_client_of_the_last_refresh() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let refresh = engineer
        .request(Method::POST, "/api/v1/auth/refresh")
        .header(USER_AGENT, "tablet/1")
        .json(&json!({ "refresh_token": engineer.refresh_token }));
    engineer.send(refresh).await.expect(200);
    assert_eq!(sessions(&engineer).await[0]["user_agent"], "tablet/1");
}

#[tokio::test]
async fn only_the_owner_ends_a_session() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let lost = world.log_in("engineer").await;
    let other = world.log_in("other").await;
    let admin = world.log_in("admin").await;
    let path = current_session(&lost).await;
    for client in [&other, &admin] {
        client.delete(&path).await.expect_problem(404, "not_found");
    }
    lost.get(ME).await.expect(200);
    engineer.delete(&path).await.expect(204);
    lost.get(ME).await.expect_problem(401, "session_revoked");
    engineer.get(ME).await.expect(200);
    engineer
        .delete(&path)
        .await
        .expect_problem(404, "not_found");
    let bad = engineer.delete(&format!("{SESSIONS}/x")).await;
    bad.expect_bad_field(400, "malformed_request", "/session_id");
}

#[tokio::test]
async fn logout_reaches_other_nodes_through_redis() {
    // Cache entries outlive the test, so only the event bus can invalidate them.
    let world = World::with(|settings| settings.auth.remember_seconds = 60).await;
    let node = world.beside(|_| {}).await;
    let engineer = world.log_in("engineer").await;
    let there = engineer.at(node.address());
    there.get(ME).await.expect(200);
    log_out(&engineer).await;
    engineer
        .get(ME)
        .await
        .expect_problem(401, "session_revoked");
    until_revoked(&there).await;
}

#[tokio::test]
async fn without_redis_logout_takes_effect_when_the_cache_expires() {
    let world = World::with(|settings| {
        settings.redis.url = None;
        settings.auth.remember_seconds = 1;
    })
    .await;
    let node = world.beside(|_| {}).await;
    let engineer = world.log_in("engineer").await;
    let there = engineer.at(node.address());
    there.get(ME).await.expect(200);
    log_out(&engineer).await;
    until_revoked(&there).await;
}

#[tokio::test]
async fn deleted_user_cannot_write_through_a_stale_cache() {
    let world = World::with(|settings| {
        settings.redis.url = None;
        settings.auth.remember_seconds = 60;
    })
    .await;
    let node = world.beside(|_| {}).await;
    let engineer = world.log_in("engineer").await;
    let there = engineer.at(node.address());
    there.get(ME).await.expect(200);
    let admin = world.log_in("admin").await;
    let path = "/api/v1/users/00000000-0000-0000-0000-000000000002";
    admin.delete(path).await.expect(204);
    let command = json!({
        "vehicle_id": sovd_tests::CONNECTED, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    let refused = there.post("/api/v1/commands", &command).await;
    refused.expect_problem(401, "session_revoked");
    let logout = there.request(Method::POST, LOGOUT);
    let refused = there.send(logout).await;
    refused.expect_problem(401, "session_revoked");
}

#[tokio::test]
async fn cached_sessions_need_no_database() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let mut options = WorldOptions::on(&postgres).await;
    options.settings.auth.remember_seconds = 60;
    let world = options.start().await;
    let engineer = world.log_in("engineer").await;
    let uncached = world.log_in("engineer").await;
    engineer.get(ME).await.expect(200);
    postgres.stop().unwrap();
    for _ in 0..100 {
        engineer.get(ME).await.expect(200);
    }
    uncached.get(ME).await.expect_problem(503, "unavailable");
}

#[tokio::test]
async fn open_streams_end_with_their_session_on_every_node() {
    let world = World::with(|settings| settings.auth.remember_seconds = 60).await;
    let node = world
        .beside(|settings| settings.dispatch.enabled = false)
        .await;
    let engineer = world.log_in("engineer").await;
    let stays = world.log_in("engineer").await;
    let there = engineer.at(node.address());
    let waiting = engineer.read_dtc_offline(3600).await;
    let mut sockets = Vec::new();
    for client in [&engineer, &there] {
        sockets.push(client.open(&waiting).await);
        sockets.push(client.open_at("/ws/events").await);
    }
    let events = there.listen(&waiting, None).await.unwrap();
    let mut kept = stays.open(&waiting).await;
    let path = current_session(&engineer).await;
    engineer.delete(&path).await.expect(204);
    for socket in sockets {
        let (_, closing) = socket.rest().await;
        assert_eq!(closing.code, 1008);
        assert!(closing.reason.starts_with("session_revoked"), "{closing:?}");
    }
    assert!(
        events
            .rest()
            .await
            .iter()
            .all(|event| event["status"] != "completed")
    );

    let back = "UPDATE vehicles SET connection_status = 'connected'";
    world.sql().await.execute(back, &[]).await.unwrap();
    while kept.next().await.unwrap()["status"] != "completed" {}
}

#[tokio::test]
async fn without_redis_streams_end_when_the_cache_expires() {
    let world = World::with(|settings| {
        settings.redis.url = None;
        settings.auth.remember_seconds = 1;
    })
    .await;
    let node = world
        .beside(|settings| settings.dispatch.enabled = false)
        .await;
    let engineer = world.log_in("engineer").await;
    let there = engineer.at(node.address());
    let waiting = engineer.read_dtc_offline(3600).await;
    let socket = there.open(&waiting).await;
    log_out(&engineer).await;
    let (_, closing) = socket.rest().await;
    assert!(closing.reason.starts_with("session_revoked"), "{closing:?}");
}

#[tokio::test]
async fn logout_with_a_spent_token_ends_its_session() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let body = json!({ "refresh_token": engineer.refresh_token });
    let next = engineer
        .post("/api/v1/auth/refresh", &body)
        .await
        .expect(200);
    engineer.post(LOGOUT, &body).await.expect(200);
    engineer
        .get(ME)
        .await
        .expect_problem(401, "session_revoked");
    let next = json!({ "refresh_token": next["refresh_token"] });
    let refused = engineer.post("/api/v1/auth/refresh", &next).await;
    refused.expect_problem(401, "token_invalid");
}

#[tokio::test]
async fn login_beyond_the_limit_ends_the_oldest_session() {
    let world = World::start().await;
    let first = world.log_in("engineer").await;
    first.get(ME).await.expect(200);
    let more = "INSERT INTO sessions (session_id, user_id, refresh_token, expires_at)
                SELECT gen_random_uuid(), user_id, n::text, now() + interval '1 day'
                FROM users, generate_series(1, 99) n WHERE username = 'engineer'";
    let sql = world.sql().await;
    sql.execute(more, &[]).await.unwrap();
    let used = "UPDATE sessions SET last_used_at = last_used_at - interval '1 hour'
                WHERE length(refresh_token) = 64";
    sql.execute(used, &[]).await.unwrap();
    let last = world.log_in("engineer").await;
    let body = json!({ "refresh_token": first.refresh_token });
    let refused = first.post("/api/v1/auth/refresh", &body).await;
    refused.expect_problem(401, "token_invalid");
    assert_eq!(sessions(&last).await.len(), 100);
}

#[tokio::test]
async fn concurrent_logouts_of_one_user_do_not_deadlock() {
    let world = World::start().await;
    for _ in 0..20 {
        let (one, two) = (
            world.log_in("engineer").await,
            world.log_in("engineer").await,
        );
        let log_out = async |client: &Client| {
            let request = client.request(Method::POST, LOGOUT);
            client.send(request).await.status.as_u16()
        };
        let (a, b, c) = tokio::join!(log_out(&one), log_out(&two), log_out(&one));
        let statuses = [a, b, c];
        let is_expected = |status: &u16| [200, 401].contains(status);
        assert!(statuses.iter().all(is_expected), "{statuses:?}");
        assert!(statuses.contains(&200), "{statuses:?}");
    }
}
