use serde_json::{Value, json};
use sovd_tests::{Client, Reply, World};

const PASSWORD: &str = "/api/v1/auth/password";
const ME: &str = "/api/v1/auth/me";

async fn change(client: &Client, current: &str, new: &str) -> Reply {
    let body = json!({ "current_password": current, "new_password": new });
    client.post(PASSWORD, &body).await
}

async fn log_in(world: &World, password: &str) -> Reply {
    let body = json!({ "username": "engineer", "password": password });
    world.stranger().post("/api/v1/auth/login", &body).await
}

#[tokio::test]
async fn another_password_ends_every_other_session() {
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

    let sql = "SELECT to_jsonb(audit_logs) FROM audit_logs WHERE action = 'auth.password'";
    let line: Value = world.sql().await.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(line["result"], "done");
    assert!(!line.to_string().contains(new), "{line}");
}

#[tokio::test]
async fn the_hash_has_the_configured_cost() {
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
async fn a_wrong_current_password_changes_nothing_and_is_audited() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    change(&engineer, "engineer124", "tightening the nuts")
        .await
        .expect_bad_field(422, "validation_failed", "/current_password");
    engineer.get(ME).await.expect(200);
    log_in(&world, "engineer123").await.expect(200);
    let sql = "SELECT count(*) FROM audit_logs
               WHERE action = 'auth.password' AND result = 'refused'";
    let row = world.sql().await.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_new_password_keeps_the_rules() {
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
async fn of_two_changes_at_once_one_counts() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let passwords = ["tightening the nuts", "loosening the bolts"];
    let [one, two] = passwords.map(|new| change(&engineer, "engineer123", new));
    let replies = futures_util::future::join(one, two).await;
    let counts: Vec<bool> = [replies.0, replies.1]
        .iter()
        .map(|it| it.status == 204)
        .collect();
    for (password, counts) in passwords.iter().zip(counts) {
        let status = log_in(&world, password).await.status;
        assert!(
            counts || status != 200,
            "{password}: refused, and yet it counts"
        );
    }
}
