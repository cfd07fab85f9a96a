use serde_json::json;
use sovd_tests::{Client, Reply, World};

const PASSWORD: &str = "/api/v1/auth/password";
const ME: &str = "/api/v1/auth/me";

async fn change(client: &Client, current: &str, new: &str) -> Reply {
    let body = json!({ "current_password": current, "new_password": new });
    client.post(PASSWORD, &body).await
}

async fn log_in(world: &World, password: &str) -> Reply {
    let body = json!({ "username": "engineer", "password": password });
    world.anonymous().post("/api/v1/auth/login", &body).await
}

#[tokio::test]
async fn new_password_ends_every_other_session() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let elsewhere = world.log_in("engineer").await;
    let other = world.log_in("other").await;
    let new = "tightening the nuts";
    change(&engineer, "engineer123", new).await.expect(204);
    engineer.get(ME).await.expect(200);
    other.get(ME).await.expect(200);
    elsewhere
        .get(ME)
        .await
        .expect_problem(401, "session_revoked");
    log_in(&world, "engineer123")
        .await
        .expect_problem(401, "invalid_credentials");
    log_in(&world, new).await.expect(200);

    let entries = world.audit_entries("auth.password").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["result"], "done");
    assert!(!entries[0].to_string().contains(new), "{}", entries[0]);
}

#[tokio::test]
async fn hashes_with_the_configured_cost() {
    let world = World::with(|settings| settings.auth.bcrypt_cost = 5).await;
    let engineer = world.log_in("engineer").await;
    change(&engineer, "engineer123", "tightening the nuts")
        .await
        .expect(204);
    let sql = "SELECT password_hash FROM users WHERE username = 'engineer'";
    let hash: String = world.sql().await.query_one(sql, &[]).await.unwrap().get(0);
    assert!(hash.starts_with("$2b$05$"), "{hash}");
}

#[tokio::test]
async fn rejects_and_audits_a_wrong_current_password() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    change(&engineer, "engineer124", "tightening the nuts")
        .await
        .expect_bad_field(422, "validation_failed", "/current_password");
    engineer.get(ME).await.expect(200);
    log_in(&world, "engineer123").await.expect(200);
    let entries = world.audit_entries("auth.password").await;
    let refused = entries.iter().filter(|entry| entry["result"] == "refused");
    assert_eq!(refused.count(), 1);
}

#[tokio::test]
async fn enforces_the_password_rules() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for bad in [
        "x".repeat(11),
        "x".repeat(129),
        "Unbelievable".to_owned(),
        "tightening\0the nuts".to_owned(),
        String::new(),
    ] {
        let reply = change(&engineer, "engineer123", &bad).await;
        let problem = reply.expect_bad_field(422, "validation_failed", "/new_password");
        assert!(
            bad.is_empty() || !problem.to_string().contains(&bad),
            "{problem}"
        );
    }
    for bad in [String::new(), "x".repeat(129)] {
        change(&engineer, &bad, "tightening the nuts")
            .await
            .expect_bad_field(422, "validation_failed", "/current_password");
    }
    let longest = "ü".repeat(128);
    change(&engineer, "engineer123", &longest).await.expect(204);
    log_in(&world, &longest).await.expect(200);
    let other = format!("{}x", "ü".repeat(127));
    log_in(&world, &other)
        .await
        .expect_problem(401, "invalid_credentials");
    change(&engineer, &longest, &longest)
        .await
        .expect_bad_field(422, "validation_failed", "/new_password");
    change(&engineer, &longest, &"x".repeat(12))
        .await
        .expect(204);
}

#[tokio::test]
async fn refused_concurrent_change_has_no_effect() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let passwords = ["tightening the nuts", "loosening the bolts"];
    let [one, two] = passwords.map(|new| change(&engineer, "engineer123", new));
    let replies = futures_util::future::join(one, two).await;
    for (password, reply) in passwords.iter().zip([replies.0, replies.1]) {
        let status = log_in(&world, password).await.status;
        assert!(reply.status == 204 || status != 200, "{password}");
    }
}
