use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_tests::{Client, Reply, World};

const USERS: &str = "/api/v1/users";
const ME: &str = "/api/v1/auth/me";
const ADMIN: &str = "/api/v1/users/00000000-0000-0000-0000-000000000001";
const ENGINEER: &str = "/api/v1/users/00000000-0000-0000-0000-000000000002";

fn anna() -> Value {
    json!({
        "username": "anna", "email": "Anna@Example.com", "password": "tightening the nuts",
        "role": "engineer",
    })
}

async fn create(admin: &Client, change: impl FnOnce(&mut Value)) -> Reply {
    let mut body = anna();
    change(&mut body);
    admin.post(USERS, &body).await
}

fn path(user: &Value) -> String {
    format!("{USERS}/{}", user["user_id"].as_str().unwrap())
}

/// Logs in with the password of [`anna`].
async fn log_in(world: &World, username: &str) -> Client {
    let mut client = world.anonymous();
    client.log_in(username, "tightening the nuts").await;
    client
}

#[tokio::test]
async fn created_user_can_log_in() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let reply = create(&admin, |_| {}).await;
    let location = reply.headers["location"].to_str().unwrap().to_owned();
    let user = reply.expect(201);
    assert_eq!(location, path(&user));
    assert_eq!(user["email"], "anna@example.com");
    assert_eq!(user["is_active"], true);
    assert_eq!(user.as_object().unwrap().len(), 6, "{user}");
    assert_eq!(admin.get(&location).await.expect(200), user);
    let me = log_in(&world, "anna").await.get(ME).await.expect(200);
    assert_eq!(me["user_id"], user["user_id"]);

    let entries = world.audit_entries("user.create").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["entity_id"], user["user_id"]);
    assert_eq!(
        entries[0]["user_id"],
        "00000000-0000-0000-0000-000000000001"
    );
    assert!(
        !entries[0].to_string().contains("tightening"),
        "{}",
        entries[0]
    );
}

#[tokio::test]
async fn rejects_duplicate_names_and_addresses_even_concurrently() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let replies = join_all((0..5).map(|_| create(&admin, |_| {}))).await;
    assert_eq!(
        replies.iter().filter(|reply| reply.status == 201).count(),
        1
    );
    for refused in replies.into_iter().filter(|reply| reply.status != 201) {
        refused.expect_problem(409, "conflict");
    }
    create(&admin, |body| body["email"] = json!("other@example.org"))
        .await
        .expect_bad_field(409, "conflict", "/username");
    create(&admin, |body| {
        body["username"] = json!("berta");
        body["email"] = json!("ANNA@example.com");
    })
    .await
    .expect_bad_field(409, "conflict", "/email");
    assert_eq!(world.audit_entries("user.create").await.len(), 1);
}

#[tokio::test]
async fn validates_every_field() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for (field, bad) in [
        ("username", json!("")),
        ("username", json!("u".repeat(51))),
        ("username", json!("Anna")),
        ("username", json!(".anna")),
        ("username", json!("an na")),
        ("username", json!(null)),
        ("email", json!("anna")),
        ("email", json!("anna@")),
        ("email", json!("an na@example.com")),
        ("email", json!("anna@example.com\r\nBcc: x@example.com")),
        ("email", json!(format!("anna@{}.com", "x".repeat(250)))),
        ("password", json!("x".repeat(11))),
        ("password", json!("x".repeat(129))),
        ("password", json!("qwerty123456")),
        ("role", json!("root")),
        ("role", json!(["admin"])),
        ("is_admin", json!(true)),
        ("user_id", json!("00000000-0000-0000-0000-000000000001")),
        ("password_hash", json!("x")),
    ] {
        let reply = create(&admin, |body| body[field] = bad.clone()).await;
        reply.expect_bad_field(422, "validation_failed", &format!("/{field}"));
    }
    create(&admin, |body| {
        body["username"] = json!("chief-engineer");
        body["password"] = json!("Chief-Engineer");
    })
    .await
    .expect_bad_field(422, "validation_failed", "/password");
    let longest = create(&admin, |body| {
        body["username"] = json!("u".repeat(50));
        body["password"] = json!("p".repeat(128));
    });
    longest.await.expect(201);
    let shortest = create(&admin, |body| {
        body["username"] = json!("9");
        body["email"] = json!("9@example.com");
        body["password"] = json!("p".repeat(12));
    });
    shortest.await.expect(201);
}

#[tokio::test]
async fn searches_and_pages_the_list() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let names = async |query: &str| {
        let users = admin.get(&format!("{USERS}{query}")).await.expect(200);
        let users = users.as_array().unwrap().clone();
        users
            .iter()
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("").await,
        [
            "admin",
            "customer",
            "engineer",
            "manufacturer",
            "other",
            "service"
        ]
    );
    assert_eq!(names("?role=admin").await, ["admin"]);
    assert_eq!(
        names("?search=EXAMPLE.COM&role=engineer").await,
        ["engineer", "other"]
    );
    assert!(names("?search=%25").await.is_empty());
    assert!(names("?search=%27%20OR%201%3D1--").await.is_empty());
    let page = admin.get(&format!("{USERS}?limit=1&offset=2")).await;
    assert_eq!(page.headers["x-total-count"], "6");
    assert!(
        page.headers["link"]
            .to_str()
            .unwrap()
            .contains("rel=\"next\"")
    );
    assert_eq!(page.expect(200)[0]["username"], "engineer");
    for (query, pointer) in [
        ("limit=101", "/limit"),
        ("limit=0", "/limit"),
        ("offset=-1", "/offset"),
    ] {
        admin
            .get(&format!("{USERS}?{query}"))
            .await
            .expect_bad_field(422, "validation_failed", pointer);
    }
    admin
        .get(&format!("{USERS}?role=root"))
        .await
        .expect_bad_field(400, "malformed_request", "/role");
}

#[tokio::test]
async fn change_of_role_password_or_state_ends_the_sessions() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let user = create(&admin, |_| {}).await.expect(201);
    for change in [
        json!({ "role": "admin" }),
        json!({ "password": "tightening the nuts" }),
        json!({ "is_active": false }),
    ] {
        let anna = log_in(&world, "anna").await;
        anna.get(ME).await.expect(200);
        admin.patch(&path(&user), &change).await.expect(200);
        anna.get(ME).await.expect_problem(401, "session_revoked");
        let refresh = json!({ "refresh_token": anna.refresh_token });
        anna.post("/api/v1/auth/refresh", &refresh)
            .await
            .expect_problem(401, "token_invalid");
    }
    let body = json!({ "username": "anna", "password": "tightening the nuts" });
    let login = world.anonymous().post("/api/v1/auth/login", &body).await;
    login.expect_problem(403, "account_disabled");
    let wrong = json!({ "username": "anna", "password": "wrong" });
    let login = world.anonymous().post("/api/v1/auth/login", &wrong).await;
    login.expect_problem(401, "invalid_credentials");

    admin
        .patch(&path(&user), &json!({ "is_active": true }))
        .await
        .expect(200);
    let anna = log_in(&world, "anna").await;
    let same = json!({ "email": "a@example.com", "role": "admin", "is_active": true });
    let changed = admin.patch(&path(&user), &same).await.expect(200);
    assert_eq!(changed["email"], "a@example.com");
    assert_eq!(anna.get(ME).await.expect(200)["email"], "a@example.com");

    let entries = world.audit_entries("user.update").await;
    assert_eq!(entries.len(), 5);
    assert_eq!(
        entries[0]["details"],
        json!({ "role": { "from": "engineer", "to": "admin" } })
    );
    assert_eq!(entries[1]["details"], json!({ "password": "changed" }));
}

#[tokio::test]
async fn invalid_change_has_no_effect() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let before = admin.get(ENGINEER).await.expect(200);
    for (change, pointer) in [
        (json!({}), ""),
        (json!({ "email": "x" }), "/email"),
        (json!({ "role": "root" }), "/role"),
        (json!({ "is_active": "no" }), "/is_active"),
        (json!({ "password": "short" }), "/password"),
        (json!({ "username": "other" }), "/username"),
        (
            json!({ "email": "a@example.com", "password": "unbelievable" }),
            "/password",
        ),
    ] {
        let reply = admin.patch(ENGINEER, &change).await;
        reply.expect_bad_field(422, "validation_failed", pointer);
    }
    let taken = json!({ "email": "other@example.com", "is_active": false });
    admin
        .patch(ENGINEER, &taken)
        .await
        .expect_bad_field(409, "conflict", "/email");
    assert_eq!(admin.get(ENGINEER).await.expect(200), before);
    assert!(world.audit_entries("user.update").await.is_empty());
    let unknown = format!("{USERS}/00000000-0000-0000-0000-00000000ffff");
    let change = json!({ "is_active": false });
    admin
        .patch(&unknown, &change)
        .await
        .expect_problem(404, "not_found");
    admin.get(&unknown).await.expect_problem(404, "not_found");
    admin
        .delete(&unknown)
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn keeps_the_last_active_admin() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let disabled = create(&admin, |body| body["role"] = json!("admin"))
        .await
        .expect(201);
    let disable = json!({ "is_active": false });
    admin.patch(&path(&disabled), &disable).await.expect(200);
    for change in [disable, json!({ "role": "engineer" })] {
        admin
            .patch(ADMIN, &change)
            .await
            .expect_problem(409, "conflict");
    }
    admin.delete(ADMIN).await.expect_problem(409, "conflict");
    admin
        .patch(ADMIN, &json!({ "email": "boss@example.com" }))
        .await
        .expect(200);
    admin.get(ME).await.expect(200);
}

#[tokio::test]
async fn keeps_one_of_two_admins_who_remove_each_other() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let other = create(&admin, |body| body["role"] = json!("admin"))
        .await
        .expect(201);
    let anna = log_in(&world, "anna").await;
    let disable = json!({ "is_active": false });
    let other = path(&other);
    let (one, two) =
        futures_util::future::join(admin.patch(&other, &disable), anna.delete(ADMIN)).await;
    let done = [one.status.is_success(), two.status.is_success()];
    assert_eq!(done.iter().filter(|it| **it).count(), 1, "{one:?} {two:?}");
    let sql = "SELECT count(*) FROM users WHERE role = 'admin' AND is_active";
    let row = world.sql().await.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn deletion_keeps_the_audit_trail() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc().await;
    engineer.ended(&id).await;
    admin.delete(ENGINEER).await.expect(204);
    engineer
        .get(ME)
        .await
        .expect_problem(401, "session_revoked");
    admin.get(ENGINEER).await.expect_problem(404, "not_found");
    admin
        .get(&format!("/api/v1/commands/{id}"))
        .await
        .expect_problem(404, "not_found");
    let sql = "SELECT count(*) FROM audit_logs WHERE action = 'command.submit' AND user_id IS NULL";
    let row = world.sql().await.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn keeps_a_user_with_open_commands() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let engineer = world.log_in("engineer").await;
    let waiting = engineer.read_dtc_offline(3600).await;
    admin.delete(ENGINEER).await.expect_problem(409, "conflict");
    engineer.get(ME).await.expect(200);
    let cancel = format!("/api/v1/commands/{waiting}/cancel");
    engineer.post(&cancel, &json!({})).await.expect(200);
    admin.delete(ENGINEER).await.expect(204);
}

#[tokio::test]
async fn admin_can_delete_their_own_account_if_another_remains() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    create(&admin, |body| body["role"] = json!("admin"))
        .await
        .expect(201);
    admin.delete(ADMIN).await.expect(204);
    admin.get(ME).await.expect_problem(401, "session_revoked");
    log_in(&world, "anna").await.get(USERS).await.expect(200);
}

#[tokio::test]
async fn engineers_cannot_manage_users() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let escalation = json!({ "role": "admin" });
    engineer
        .patch(ENGINEER, &escalation)
        .await
        .expect_problem(403, "forbidden");
    engineer
        .post(USERS, &anna())
        .await
        .expect_problem(403, "forbidden");
    engineer.get(USERS).await.expect_problem(403, "forbidden");
    engineer
        .get(ENGINEER)
        .await
        .expect_problem(403, "forbidden");
    engineer
        .delete(ENGINEER)
        .await
        .expect_problem(403, "forbidden");
    assert_eq!(engineer.get(ME).await.expect(200)["role"], "engineer");
}

#[tokio::test]
async fn revoked_credentials_cannot_write_through_a_stale_cache() {
    let world = World::with(|settings| {
        settings.redis.url = None;
        settings.auth.remember_seconds = 60;
        settings.agents.allow = vec!["m:commands.submit".to_owned()];
    })
    .await;
    let node = world.beside(|_| {}).await;
    let admin = world.log_in("admin").await;
    let other = create(&admin, |body| body["role"] = json!("admin"))
        .await
        .expect(201);
    let anna = log_in(&world, "anna").await.at(node.address());
    let account = json!({
        "name": "m", "role": "admin", "permissions": ["commands.submit"], "expires_in_days": 1,
    });
    let issued = anna
        .post("/api/v1/service-accounts", &account)
        .await
        .expect(201);
    let mut agent = anna.clone();
    agent.token = issued["api_key"].as_str().map(str::to_owned);
    agent.read_dtc_offline(60).await;
    let waiting = anna.read_dtc_offline(60).await;

    admin
        .patch(&path(&other), &json!({ "role": "engineer" }))
        .await
        .expect(200);
    let id = issued["service_account"]["service_account_id"]
        .as_str()
        .unwrap();
    let revoked = format!("/api/v1/service-accounts/{id}");
    admin.delete(&revoked).await.expect(204);

    anna.get(ME).await.expect(200);
    let backdoor = create(&anna, |body| body["username"] = json!("backdoor"));
    let command = json!({
        "vehicle_id": sovd_tests::OFFLINE, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    for refused in [
        backdoor.await,
        anna.patch(&path(&other), &json!({ "role": "admin" })).await,
        anna.delete(ENGINEER).await,
        anna.post(
            "/api/v1/service-accounts",
            &json!({ "name": "n", "role": "admin",
            "permissions": ["audit.read"], "expires_in_days": 1 }),
        )
        .await,
        anna.post(&format!("{revoked}/key"), &json!({ "expires_in_days": 1 }))
            .await,
        anna.delete(&revoked).await,
        anna.post("/api/v1/commands", &command).await,
        anna.post(&format!("/api/v1/commands/{waiting}/cancel"), &json!({}))
            .await,
        agent.post("/api/v1/commands", &command).await,
    ] {
        refused.expect_problem(401, "session_revoked");
    }
}
