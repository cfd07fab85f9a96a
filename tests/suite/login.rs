use sovd_tests::World;

/// The stored hashes of all users whose password is the engineer's.
async fn hashes(world: &World) -> Vec<String> {
    let sql = "SELECT password_hash FROM users WHERE username <> 'admin' ORDER BY username";
    let rows = world.sql().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_login_stores_a_hash_at_the_cost_that_is_configured_now() {
    let world = World::with(|settings| settings.auth.bcrypt_cost = 5).await;
    let before = hashes(&world).await;
    assert!(before.iter().all(|hash| hash.starts_with("$2b$04$")));
    world.log_in("engineer").await;
    let after = hashes(&world).await;
    assert!(after[0].starts_with("$2b$05$"), "the engineer's is dearer");
    assert_eq!(after[1], before[1], "the other's is not");
    world.log_in("engineer").await;
    assert_eq!(hashes(&world).await, after, "once is enough");
}

#[tokio::test]
async fn an_unreadable_hash_is_nobodys_password() {
    let world = World::start().await;
    let change = "UPDATE users SET password_hash = 'engineer123' WHERE username = 'engineer'";
    world.sql().await.batch_execute(change).await.unwrap();
    let body = serde_json::json!({ "username": "engineer", "password": "engineer123" });
    let reply = world.stranger().post("/api/v1/auth/login", &body).await;
    reply.expect_problem(401, "invalid_credentials");
}
