use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use sovd_app::settings::SecretUrl;
use sovd_devstack::{Redis, SearchPath};
use sovd_tests::{Client, Reply, World, WorldOptions, within};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};

const LOGIN: &str = "/api/v1/auth/login";

/// Options that throttle after two failures of an account, with failure counters of their own in the
/// shared Redis.
async fn throttling() -> WorldOptions {
    let mut options = WorldOptions::new().await;
    options.settings.auth.account_attempts = 2;
    let database = options.settings.database.url.expose();
    database
        .rsplit('/')
        .next()
        .unwrap()
        .clone_into(&mut options.settings.redis.key_prefix);
    options
}

async fn log_in(client: &Client, username: &str, password: &str) -> Reply {
    let body = json!({ "username": username, "password": password });
    client.post(LOGIN, &body).await
}

/// Fails logins until the delay exceeds the rest of the test; returns the problem without its variable
/// parts.
async fn throttled(client: &Client, username: &str) -> Value {
    within("a long delay", async {
        loop {
            let reply = log_in(client, username, "wrong").await;
            if reply.status != 429 {
                reply.expect_problem(401, "invalid_credentials");
                continue;
            }
            let seconds: u64 = reply.headers["retry-after"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            let mut problem = reply.expect_problem(429, "rate_limited");
            let detail = format!("too many requests; try again in {seconds} s");
            assert_eq!(problem["detail"], detail);
            if seconds >= 4 {
                problem["detail"] = Value::Null;
                problem["correlation_id"] = Value::Null;
                return problem;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// A client with another IP address.
fn elsewhere(address: SocketAddr) -> Client {
    Client::from_address(address, Some("127.0.0.2".parse().unwrap()))
}

#[tokio::test]
async fn throttles_known_and_unknown_users_alike() {
    let world = throttling().await.start().await;
    let known = throttled(&world.anonymous(), "engineer").await;
    assert_eq!(throttled(&world.anonymous(), "nobody").await, known);
    let sql = "SELECT count(*) FROM audit_logs WHERE action = 'auth.login_throttled'
               AND result = 'refused' AND ip_address = '127.0.0.1'";
    let entries: i64 = world.sql().await.query_one(sql, &[]).await.unwrap().get(0);
    assert!((2..=10).contains(&entries), "{entries}");
}

#[tokio::test]
async fn processes_share_failure_counters() {
    let options = throttling().await;
    let one = options.start().await;
    let other = one.beside(|_| {}).await;
    for process in [&one, &other, &one] {
        let reply = log_in(&process.anonymous(), "engineer", "wrong").await;
        reply.expect_problem(401, "invalid_credentials");
    }
    let reply = log_in(&other.anonymous(), "engineer", "engineer123").await;
    assert_eq!(reply.headers["retry-after"], "1");
    reply.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn without_redis_each_process_counts_failures_alone() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let mut options = throttling().await;
    options.settings.redis.url = Some(SecretUrl::new(redis.url()));
    let world = options.start().await;
    log_in(&world.anonymous(), "engineer", "engineer123")
        .await
        .expect(200);
    redis.stop().unwrap();
    log_in(&world.anonymous(), "engineer", "engineer123")
        .await
        .expect(200);
    throttled(&elsewhere(world.address()), "engineer").await;
    log_in(&world.anonymous(), "engineer", "engineer123")
        .await
        .expect(200);
}

#[tokio::test]
async fn known_address_is_not_locked_out_by_failures_elsewhere() {
    let world = throttling().await.start().await;
    world.log_in("engineer").await;
    let attacker = elsewhere(world.address());
    throttled(&attacker, "engineer").await;
    world.log_in("engineer").await;
    let reply = log_in(&attacker, "engineer", "engineer123").await;
    reply.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn throttles_each_address_separately() {
    let mut options = throttling().await;
    options.settings.auth.address_attempts = 3;
    let world = options.start().await;
    for number in 0..4 {
        let reply = log_in(
            &elsewhere(world.address()),
            &format!("user{number}"),
            "wrong",
        )
        .await;
        reply.expect_problem(401, "invalid_credentials");
    }
    let reply = log_in(&elsewhere(world.address()), "engineer", "engineer123").await;
    reply.expect_problem(429, "rate_limited");
    world.log_in("engineer").await;
}

/// The stored hashes of all users whose password is the engineer's.
async fn hashes(world: &World) -> Vec<String> {
    let sql = "SELECT password_hash FROM users WHERE role = 'engineer' ORDER BY username";
    let rows = world.sql().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn login_upgrades_the_hash_to_the_configured_cost() {
    let world = World::with(|settings| settings.auth.bcrypt_cost = 5).await;
    let before = hashes(&world).await;
    assert!(before.iter().all(|hash| hash.starts_with("$2b$04$")));
    world.log_in("engineer").await;
    let after = hashes(&world).await;
    assert!(after[0].starts_with("$2b$05$"), "{}", after[0]);
    assert_eq!(after[1], before[1], "the other user did not log in");
    world.log_in("engineer").await;
    assert_eq!(hashes(&world).await, after, "already upgraded");
}

#[tokio::test]
async fn rejects_every_password_for_an_unreadable_hash() {
    let world = World::start().await;
    let change = "UPDATE users SET password_hash = 'engineer123' WHERE username = 'engineer'";
    world.sql().await.batch_execute(change).await.unwrap();
    let reply = log_in(&world.anonymous(), "engineer", "engineer123").await;
    reply.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn counts_a_failure_when_the_client_disconnects_during_the_comparison() {
    let mut options = throttling().await;
    // Slow enough that the client disconnects before the comparison ends.
    options.settings.auth.bcrypt_cost = 10;
    let world = options.start().await;
    let body = json!({ "username": "nobody", "password": "x" }).to_string();
    let request = format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len(),
    );
    let (sql, mut blocker) = (world.sql().await, world.sql().await);
    // `pg_stat_activity` shows the query reliably only while it waits for a lock.
    let lock = blocker.transaction().await.unwrap();
    let users = "LOCK TABLE users IN ACCESS EXCLUSIVE MODE";
    lock.batch_execute(users).await.unwrap();
    let mut socket = TcpStream::connect(world.address()).await.unwrap();
    socket.set_zero_linger().unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let lookups = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%password_hash%'
                  AND pid <> pg_backend_pid() AND datname = current_database()
                  AND state = 'active'";
    let lookups = async || sql.query_one(lookups, &[]).await.unwrap().get::<_, i64>(0);
    within("the user to be looked up", async {
        while lookups().await == 0 {}
        lock.rollback().await.unwrap();
        while lookups().await > 0 {}
    })
    .await;
    drop(socket);
    let failed = "SELECT count(*) FROM audit_logs WHERE action = 'auth.login_failed'";
    within("the failure to be audited", async {
        while sql.query_one(failed, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
    })
    .await;
}
