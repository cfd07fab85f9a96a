//! How much one caller may have in flight at a time, and what is left to the others.

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

/// What is wanted of a caller with too much in flight.
#[track_caller]
fn assert_refused(refused: Reply, what: &str) {
    assert_eq!(refused.headers["retry-after"], "1");
    let problem = refused.expect_problem(429, "rate_limited");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(what), "{detail}");
}

/// Makes every statement about the table wait until the transaction ends.
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

/// The same user on connections of its own, which are closed with the client.
fn separate(world: &World, client: &Client) -> Client {
    let mut separate = world.stranger();
    separate.token.clone_from(&client.token);
    separate
}

/// Asks until the answer is 200.
async fn until_served(client: &Client, path: &str) {
    within("a permit", async {
        while client.get(path).await.status != 200 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_caller_with_the_limit_in_flight_waits_and_is_refused() {
    let world = World::with(|settings| settings.limits.requests_in_flight = 3).await;
    let (engineer, other) = (world.log_in("engineer").await, world.log_in("other").await);
    let blocker = block(&world, "vehicles").await;
    let in_flight: Vec<_> = (0..3).map(|_| spawn_get(&engineer, VEHICLE)).collect();
    world.until_waiting(3).await;
    assert_refused(engineer.get(ME).await, "3 requests of one caller");
    other.get(ME).await.expect(200);
    blocker.batch_execute("COMMIT").await.unwrap();
    for reply in in_flight {
        reply.await.unwrap().expect(200);
    }
    engineer.get(ME).await.expect(200);
}

#[tokio::test]
async fn a_request_in_line_is_served_when_another_ends() {
    let world = World::with(|settings| settings.limits.requests_in_flight = 1).await;
    let engineer = world.log_in("engineer").await;
    let blocker = block(&world, "vehicles").await;
    let first = spawn_get(&engineer, VEHICLE);
    world.until_waiting(1).await;
    let second = spawn_get(&engineer, ME);
    blocker.batch_execute("COMMIT").await.unwrap();
    first.await.unwrap().expect(200);
    second.await.unwrap().expect(200);
}

#[tokio::test]
async fn a_caller_that_disconnects_gives_its_permit_back() {
    let world = World::with(|settings| settings.limits.requests_in_flight = 1).await;
    let engineer = world.log_in("engineer").await;
    let blocker = block(&world, "vehicles").await;
    for _ in 0..3 {
        let gone = spawn_get(&separate(&world, &engineer), VEHICLE);
        world.until_waiting(1).await;
        gone.abort();
        until_served(&engineer, ME).await;
    }
    blocker.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test]
async fn open_streams_hold_no_permit() {
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
async fn logins_from_one_address_are_bounded() {
    let world = World::with(|settings| settings.limits.requests_in_flight = 1).await;
    let blocker = block(&world, "users").await;
    let log_in = async |client: Client, username: &str| {
        let body = json!({ "username": username, "password": "engineer123" });
        client.post("/api/v1/auth/login", &body).await
    };
    let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let elsewhere = Client::from_address(world.address(), Some(elsewhere));
    let first = log_in(world.stranger(), "engineer");
    let later = async {
        world.until_waiting(1).await;
        let second = async {
            let refused = log_in(world.stranger(), "engineer").await;
            blocker.batch_execute("COMMIT").await.unwrap();
            refused
        };
        tokio::join!(second, log_in(elsewhere, "other"))
    };
    let (first, (second, other)) = tokio::join!(first, later);
    first.expect(200);
    other.expect(200);
    assert_refused(second, "1 requests of one caller");
}

const COMMANDS: &str = "/api/v1/commands?limit=1";

/// With the old program, 20 lists took all 10 connections of the pool.
#[tokio::test]
async fn lists_that_hang_leave_connections_to_point_reads_and_submissions() {
    let world = World::with(|settings| settings.limits.lists_in_flight = 20).await;
    let (engineer, other) = (world.log_in("engineer").await, world.log_in("other").await);
    let blocker = block(&world, "manufacturing_insights").await;
    let lists: Vec<_> = (0..20)
        .map(|_| spawn_get(&engineer, "/api/v1/insights"))
        .collect();
    world.until_waiting(3).await;
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
async fn a_caller_has_as_many_lists_in_flight_as_allowed() {
    let world = World::with(|settings| settings.limits.lists_in_flight = 2).await;
    let (engineer, other) = (world.log_in("engineer").await, world.log_in("other").await);
    let blocker = block(&world, "commands").await;
    let lists: Vec<_> = (0..20).map(|_| spawn_get(&engineer, COMMANDS)).collect();
    world.until_waiting(2).await;
    let (first_refused, _, lists) = select_all(lists).await;
    assert_refused(first_refused.unwrap(), "2 lists of one user");
    other.get("/api/v1/vehicles").await.expect(200);
    blocker.batch_execute("COMMIT").await.unwrap();
    for reply in join_all(lists).await {
        let reply = reply.unwrap();
        match reply.status.as_u16() {
            200 => {}
            _ => assert_refused(reply, "2 lists of one user"),
        }
    }
    engineer.get(COMMANDS).await.expect(200);
}

const EXPORT: &str = "/api/v1/audit-logs/export?format=ndjson";

#[tokio::test]
async fn an_export_beyond_the_limit_is_refused_until_another_ends() {
    for (per_user, of_all, what) in [(1, 9, "1 exports of one user"), (9, 1, "1 exports of all")] {
        let world = World::with(|settings| {
            settings.limits.exports_per_user = per_user;
            settings.limits.exports_in_flight = of_all;
            // Sealing would wait for the table as well.
            settings.audit.seal_ms = 0;
        })
        .await;
        let admin = world.log_in("admin").await;
        let blocker = block(&world, "audit_logs").await;
        let first = spawn_get(&admin, EXPORT);
        world.until_waiting(1).await;
        assert_refused(admin.get(EXPORT).await, what);
        admin.get(ME).await.expect(200);
        blocker.batch_execute("COMMIT").await.unwrap();
        first.await.unwrap().expect(200);
        until_served(&admin, EXPORT).await;
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

/// 100 clients of one user that ask for the end of a long list again and again.
#[tokio::test]
async fn point_reads_are_served_beside_100_deep_lists_of_one_user() {
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
    within("the attack to begin", async {
        while served.load(Ordering::Relaxed) < 4 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let before = served.load(Ordering::Relaxed);
    let attacked = point_reads(&other, 200).await;
    let lists = served.load(Ordering::Relaxed) - before;
    assert!(!attack.is_finished(), "the attack ended early");
    assert!(lists > 0, "the attacker is not shut out");
    attack.abort();
    println!(
        "p50 and p95 of a point read: {quiet:?} quiet, {attacked:?} beside the attack ({lists} lists)"
    );
    assert!(
        attacked.0 < Duration::from_millis(500),
        "{attacked:?} beside the attack, {quiet:?} without"
    );
}
