use std::time::{Duration, Instant};

use serde_json::json;
use sovd_app::settings::SecretUrl;
use sovd_devstack::{Redis, SearchPath};
use sovd_tests::{CONNECTED, Client, RawRedis, Reply, World, within};

const ME: &str = "/api/v1/auth/me";
const COMMANDS: &str = "/api/v1/commands";
const PER_MINUTE: u32 = 6;

/// Starts two rate-limited servers that share a Redis.
async fn two_nodes(redis: &Redis) -> (World, World) {
    let world = World::with(|settings| {
        settings.redis.url = Some(SecretUrl::new(redis.url()));
        "limits".clone_into(&mut settings.redis.key_prefix);
        settings.limits.requests_per_minute = PER_MINUTE;
        settings.limits.commands_per_minute = PER_MINUTE / 2;
    })
    .await;
    let other = world.beside(|_| {}).await;
    let admin = world.log_in("admin").await;
    for node in [&world, &other] {
        wait_for_shared_counts(&admin.at(node.address()), redis).await;
    }
    (world, other)
}

/// Waits until a server counts the requests of the user in Redis.
async fn wait_for_shared_counts(client: &Client, redis: &Redis) {
    let me = client.get(ME).await.expect(200);
    let key = format!("limits:limit:requests:{}", me["user_id"].as_str().unwrap());
    let mut redis = RawRedis::connect(&redis.url()).await;
    within("requests to count in Redis", async {
        loop {
            redis.ask(&[b"DEL", key.as_bytes()]).await;
            client.get(ME).await;
            if redis.ask(&[b"EXISTS", key.as_bytes()]).await == ":1" {
                return;
            }
        }
    })
    .await;
}

fn assert_limited(reply: &Reply, per_minute: u32) {
    let after = reply.headers["retry-after"].to_str().unwrap();
    let after: u32 = after.parse().unwrap();
    assert!((1..=60 / per_minute + 1).contains(&after), "{after}");
    assert_eq!(reply.status, 429);
    assert_eq!(reply.body["code"], "rate_limited");
}

#[tokio::test]
async fn counts_requests_across_servers() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let (one, other) = two_nodes(&redis).await;
    let engineer = one.log_in("engineer").await;
    let nodes = [engineer.clone(), engineer.at(other.address())];
    for node in nodes.iter().cycle().take(PER_MINUTE as usize) {
        node.get(ME).await.expect(200);
    }
    for node in &nodes {
        assert_limited(&node.get(ME).await, PER_MINUTE);
    }
    one.log_in("other").await.get(ME).await.expect(200);
}

#[tokio::test]
async fn counts_commands_across_servers() {
    let redis = Redis::start(&SearchPath::system()).unwrap();
    let (one, other) = two_nodes(&redis).await;
    let engineer = one.log_in("engineer").await;
    let nodes = [engineer.clone(), engineer.at(other.address())];
    let body = json!({
        "vehicle_id": CONNECTED, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    let limit = PER_MINUTE / 2;
    for node in nodes.iter().cycle().take(limit as usize) {
        node.post(COMMANDS, &body).await.expect(201);
    }
    for node in &nodes {
        assert_limited(&node.post(COMMANDS, &body).await, limit);
    }
}

#[tokio::test]
async fn each_server_limits_alone_without_redis() {
    for is_frozen in [false, true] {
        let redis = Redis::start(&SearchPath::system()).unwrap();
        let (one, other) = two_nodes(&redis).await;
        let engineer = one.log_in("engineer").await;
        if is_frozen {
            redis.pause().unwrap();
        } else {
            redis.stop().unwrap();
        }
        let started = Instant::now();
        for node in [engineer.clone(), engineer.at(other.address())] {
            for _ in 0..PER_MINUTE {
                node.get(ME).await.expect(200);
            }
            assert_limited(&node.get(ME).await, PER_MINUTE);
        }
        let requests = 2 * (PER_MINUTE + 1);
        let elapsed = started.elapsed();
        assert!(elapsed < Duration::from_secs(5), "{requests}: {elapsed:?}");
        if is_frozen {
            redis.resume().unwrap();
        }
    }
}
