//! Limits of one caller's requests in flight, and their effect on other callers.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::{join_all, select_all};
use serde_json::json;
use sovd_tests::{CONNECTED, Client, Reply, World, within};
use tokio::{task::JoinHandle, time::sleep};
use tokio_postgres::Client as Sql;

/// Asserts that a request was rejected because of the given limit.
#[track_caller]
fn assert_rejected(reply: Reply, limit: &str) {
    assert_eq!(reply.headers["retry-after"], "1");
    let problem = reply.expect_problem(429, "rate_limited");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(limit), "{detail}");
}

/// Blocks every statement on the table until the transaction ends.
async fn block(world: &World, table: &str) -> Sql {
    let sql = world.sql().await;
    let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    sql.batch_execute(&lock).await.unwrap();
    sql
}

fn spawn_get(client: &Client, path: &str) -> JoinHandle<Reply> {
    let (client, path) = (client.clone(), path.to_owned());
    tokio::spawn(async move { client.get(&path).await })
}

const VEHICLE: &str = "/api/v1/vehicles/00000000-0000-0000-0000-000000000101";
const ME: &str = "/api/v1/auth/me";

/// Returns a client of the same user with separate connections, which close with it.
fn separate(world: &World, client: &Client) -> Client {
    let mut separate = world.anonymous();
    separate.token.clone_from(&client.token);
    separate
}

/// Waits until a request succeeds.
async fn wait_until_served(client: &Client, path: &str) {
    within("a permit", async {
        while client.get(path).await.status != 200 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn rejects_a_request_that_waits_too_long_at_the_limit() {
    let world = World::with(|settings| settings.limits.requests_in_flight = 3).await;
    let (engineer, other) = (world.log_in("engineer").await, world.log_in("other").await);
    let blocker = block(&world, "vehicles").await;
    let in_flight: Vec<_> = (0..3).map(|_| spawn_get(&engineer, VEHICLE)).collect();
    world.wait_until_blocked(3).await;
    assert_rejected(engineer.get(ME).await, "3 requests of one caller");
    other.get(ME).await.expect(200);
    blocker.batch_execute("COMMIT").await.unwrap();
    for reply in in_flight {
        reply.await.unwrap().expect(200);
    }
    engineer.get(ME).await.expect(200);
}

#[tokio::test]
async fn serves_a_waiting_request_when_another_ends() {
    let world = World::with(|settings| settings.limits.requests_in_flight = 1).await;
    let engineer = world.log_in("engineer").await;
    let blocker = block(&world, "vehicles").await;
    let first = spawn_get(&engineer, VEHICLE);
    world.wait_until_blocked(1).await;
    let second = spawn_get(&engineer, ME);
    blocker.batch_execute("COMMIT").await.unwrap();
    first.await.unwrap().expect(200);
    second.await.unwrap().expect(200);
}

#[tokio::test]
async fn releases_the_permit_of_a_disconnected_caller() {
    let world = World::with(|settings| settings.limits.requests_in_flight = 1).await;
    let engineer = world.log_in("engineer").await;
    let blocker = block(&world, "vehicles").await;
    for _ in 0..3 {
        let request = spawn_get(&separate(&world, &engineer), VEHICLE);
        world.wait_until_blocked(1).await;
        request.abort();
        wait_until_served(&engineer, ME).await;
    }
    blocker.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test]
async fn open_streams_do_not_count_as_requests() {
    let world = World::with(|settings| {
        settings.limits.requests_in_flight = 1;
        settings.connector.mock.hang = true;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    let _stream = engineer.listen(&id, None).await.ok().unwrap();
    let mut socket = engineer.open(&id).await;
    assert_eq!(socket.next().await.unwrap()["status"], "in_progress");
    for _ in 0..3 {
        engineer.get(ME).await.expect(200);
    }
}

#[tokio::test]
async fn limits_logins_from_one_address() {
    let world = World::with(|settings| settings.limits.requests_in_flight = 1).await;
    let blocker = block(&world, "users").await;
    let log_in = async |client: Client, username: &str| {
        let body = json!({ "username": username, "password": "engineer123" });
        client.post("/api/v1/auth/login", &body).await
    };
    let other_address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let other_address = Client::from_address(world.address(), Some(other_address));
    let first = log_in(world.anonymous(), "engineer");
    let later = async {
        world.wait_until_blocked(1).await;
        let second = async {
            let rejected = log_in(world.anonymous(), "engineer").await;
            blocker.batch_execute("COMMIT").await.unwrap();
            rejected
        };
        tokio::join!(second, log_in(other_address, "other"))
    };
    let (first, (second, other)) = tokio::join!(first, later);
    first.expect(200);
    other.expect(200);
    assert_rejected(second, "1 requests of one caller");
}

const COMMANDS: &str = "/api/v1/commands?limit=1";

/// Without the limit, 20 lists would occupy all 10 connections of the pool.
#[tokio::test]
async fn blocked_lists_leave_connections_for_other_requests() {
    let world = World::with(|settings| settings.limits.lists_in_flight = 20).await;
    let (engineer, other) = (world.log_in("engineer").await, world.log_in("other").await);
    let blocker = block(&world, "manufacturing_insights").await;
    let lists: Vec<_> = (0..20)
        .map(|_| spawn_get(&engineer, "/api/v1/insights"))
        .collect();
    world.wait_until_blocked(3).await;
    for _ in 0..20 {
        other.get(VEHICLE).await.expect(200);
        other.read_dtc().await;
    }
    let sql = world.sql().await;
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waiting: i64 = sql.query_one(waiting, &[]).await.unwrap().get(0);
    assert_eq!(waiting, 3, "a third of the 10 connections");
    blocker.batch_execute("COMMIT").await.unwrap();
    for reply in join_all(lists).await {
        let reply = reply.unwrap();
        assert!(matches!(reply.status.as_u16(), 200 | 503), "{reply:?}");
    }
}

#[tokio::test]
async fn limits_the_lists_of_one_user() {
    let world = World::with(|settings| settings.limits.lists_in_flight = 2).await;
    let (engineer, other) = (world.log_in("engineer").await, world.log_in("other").await);
    let blocker = block(&world, "commands").await;
    let lists: Vec<_> = (0..20).map(|_| spawn_get(&engineer, COMMANDS)).collect();
    world.wait_until_blocked(2).await;
    let (first_rejected, _, lists) = select_all(lists).await;
    assert_rejected(first_rejected.unwrap(), "2 lists of one user");
    other.get("/api/v1/vehicles").await.expect(200);
    blocker.batch_execute("COMMIT").await.unwrap();
    for reply in join_all(lists).await {
        let reply = reply.unwrap();
        match reply.status.as_u16() {
            200 => {}
            _ => assert_rejected(reply, "2 lists of one user"),
        }
    }
    engineer.get(COMMANDS).await.expect(200);
}

const EXPORT: &str = "/api/v1/audit-logs/export?format=ndjson";

#[tokio::test]
async fn rejects_an_export_at_the_limit_until_another_ends() {
    for (per_user, of_all, limit) in [(1, 9, "1 exports of one user"), (9, 1, "1 exports of all")] {
        let world = World::with(|settings| {
            settings.limits.exports_per_user = per_user;
            settings.limits.exports_in_flight = of_all;
            // Sealing would be blocked, too.
            settings.audit.seal_ms = 0;
        })
        .await;
        let admin = world.log_in("admin").await;
        let blocker = block(&world, "audit_logs").await;
        let first = spawn_get(&admin, EXPORT);
        world.wait_until_blocked(1).await;
        assert_rejected(admin.get(EXPORT).await, limit);
        admin.get(ME).await.expect(200);
        blocker.batch_execute("COMMIT").await.unwrap();
        first.await.unwrap().expect(200);
        wait_until_served(&admin, EXPORT).await;
    }
}

fn percentile(samples: &mut [Duration], percent: usize) -> Duration {
    samples.sort_unstable();
    samples[samples.len() * percent / 100]
}

async fn point_reads(client: &Client, count: usize) -> (Duration, Duration) {
    let mut samples = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        client.get(VEHICLE).await.expect(200);
        samples.push(start.elapsed());
        sleep(Duration::from_millis(10)).await;
    }
    (percentile(&mut samples, 50), percentile(&mut samples, 95))
}

/// 100 clients of one user continuously request the end of a long list.
#[tokio::test]
async fn serves_point_reads_during_100_deep_lists_of_one_user() {
    let world = World::with(|settings| {
        settings.database.pool_size = 10;
        settings.database.pool_overflow = 5;
        settings.limits.requests_in_flight = 16;
        settings.limits.lists_in_flight = 2;
    })
    .await;
    let insert = format!(
        "INSERT INTO commands (user_id, vehicle_id, command_name, command_params, status, completed_at)
         SELECT user_id, '{CONNECTED}', 'ReadDTC', '{{}}', 'completed', now()
         FROM generate_series(1, 100000) n, users WHERE username = 'engineer'"
    );
    let sql = world.sql().await;
    sql.batch_execute(&insert).await.unwrap();
    let (engineer, other) = (world.log_in("engineer").await, world.log_in("other").await);
    let quiet = point_reads(&other, 200).await;
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let attack = tokio::spawn(async move {
        let deep = "/api/v1/commands?limit=100&offset=99000";
        let attackers = (0..100).map(|_| async {
            loop {
                if engineer.get(deep).await.status == 200 {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        join_all(attackers).await
    });
    within("the attack to start", async {
        while served.load(Ordering::Relaxed) < 4 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let before = served.load(Ordering::Relaxed);
    let attacked = point_reads(&other, 200).await;
    let lists = served.load(Ordering::Relaxed) - before;
    assert!(!attack.is_finished(), "the attack ended early");
    assert!(lists > 0, "the attacker is served, too");
    attack.abort();
    println!(
        "p50 and p95 of a point read: {quiet:?} quiet, {attacked:?} during the attack ({lists} lists)"
    );
    assert!(
        attacked.0 < Duration::from_millis(500),
        "{attacked:?} during the attack, {quiet:?} without"
    );
}
