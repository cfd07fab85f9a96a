use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, Reply, World, within};

use crate::fleet::events::{listening, own_bus};

const VEHICLES: &str = "/api/v1/vehicles";
const COMMANDS: &str = "/api/v1/commands";

fn x5() -> Value {
    json!({ "vin": "wbaxyz1", "make": "BMW", "model": "X5", "year": 2022 })
}

async fn create(admin: &Client, change: impl FnOnce(&mut Value)) -> Reply {
    let mut body = x5();
    change(&mut body);
    admin.post(VEHICLES, &body).await
}

fn path(vehicle_id: &str) -> String {
    format!("{VEHICLES}/{vehicle_id}")
}

/// An object whose JSON has this many bytes.
fn metadata(bytes: usize) -> Value {
    let empty = json!({ "note": "" }).to_string().len();
    json!({ "note": "x".repeat(bytes - empty) })
}

/// The audit entries of a vehicle, oldest first.
async fn audited(world: &World, vehicle_id: &str) -> Vec<Value> {
    let sql = "SELECT to_jsonb(audit_logs) FROM audit_logs
               WHERE entity_type = 'vehicle' AND entity_id::text = $1 ORDER BY timestamp";
    let rows = world.sql().await.query(sql, &[&vehicle_id]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn created_vehicle_accepts_commands() {
    let world = World::start().await;
    let (admin, engineer) = (world.log_in("admin").await, world.log_in("engineer").await);
    let reply = create(&admin, |body| {
        body["connection_status"] = json!("connected");
        body["metadata"] = json!({ "depot": { "number": 7 } });
    })
    .await;
    let location = reply.headers["location"].to_str().unwrap().to_owned();
    let vehicle = reply.expect(201);
    let id = vehicle["vehicle_id"].as_str().unwrap();
    assert_eq!(location, path(id));
    assert_eq!(vehicle["vin"], "WBAXYZ1");
    assert_eq!(vehicle["make"], "BMW");
    assert_eq!(vehicle["model"], "X5");
    assert_eq!(vehicle["year"], 2022);
    assert_eq!(vehicle["connection_status"], "connected");
    assert_eq!(vehicle["last_seen_at"], vehicle["created_at"]);
    assert_eq!(vehicle["metadata"], json!({ "depot": { "number": 7 } }));
    assert_eq!(engineer.get(&location).await.expect(200), vehicle);

    let command = json!({
        "vehicle_id": id, "command_name": "ReadDTC", "command_params": { "ecuAddress": "0x10" },
    });
    let command = engineer.post(COMMANDS, &command).await.expect(201);
    let ended = engineer
        .ended(command["command_id"].as_str().unwrap())
        .await;
    assert_eq!(ended["status"], "completed");

    let entries = audited(&world, id).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["action"], "vehicle.create");
    assert_eq!(entries[0]["vehicle_id"], id);
    assert_eq!(
        entries[0]["user_id"],
        "00000000-0000-0000-0000-000000000001"
    );
    let details = json!({
        "vin": "WBAXYZ1", "make": "BMW", "model": "X5", "year": 2022, "vehicle_type": null,
        "owner_id": null, "connection_status": "connected", "metadata": { "depot": { "number": 7 } },
    });
    assert_eq!(entries[0]["details"], details);
}

#[tokio::test]
async fn optional_fields_have_defaults() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let vehicle = create(&admin, |_| {}).await.expect(201);
    assert_eq!(vehicle["connection_status"], "disconnected");
    assert_eq!(vehicle["last_seen_at"], Value::Null);
    assert_eq!(vehicle["metadata"], json!({}));
}

#[tokio::test]
async fn validates_every_field() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for (field, bad) in [
        ("vin", json!("")),
        ("vin", json!("V".repeat(18))),
        ("vin", json!("VIN-1")),
        ("vin", json!("VIN 1")),
        ("vin", json!("VIN1\n")),
        ("vin", json!("VÍN1")),
        ("vin", json!(null)),
        ("make", json!("")),
        ("make", json!("é".repeat(101))),
        ("make", json!("B\0MW")),
        ("model", json!("")),
        ("model", json!("é".repeat(101))),
        ("model", json!(5)),
        ("year", json!(1885)),
        ("year", json!(2101)),
        ("year", json!(2022.5)),
        ("year", json!("2022")),
        ("connection_status", json!("flying")),
        ("metadata", json!([])),
        ("metadata", json!("{}")),
        ("metadata", metadata(65_537)),
        ("vehicle_id", json!(CONNECTED)),
        ("owner_id", json!(CONNECTED)),
        ("last_seen_at", json!("2026-01-01T00:00:00Z")),
    ] {
        let reply = create(&admin, |body| body[field] = bad).await;
        reply.expect_bad_field(422, "validation_failed", &format!("/{field}"));
    }
    for field in ["vin", "make", "model", "year"] {
        let reply = create(&admin, |body| {
            body.as_object_mut().unwrap().remove(field);
        });
        let pointer = format!("/{field}");
        reply
            .await
            .expect_bad_field(422, "validation_failed", &pointer);
    }
    let longest = create(&admin, |body| {
        body["vin"] = json!("v".repeat(17));
        body["make"] = json!("é".repeat(100));
        body["model"] = json!("é".repeat(100));
        body["year"] = json!(2100);
        body["connection_status"] = json!("error");
        body["metadata"] = metadata(65_536);
    });
    longest.await.expect(201);
    let shortest = create(&admin, |body| {
        body["vin"] = json!("9");
        body["make"] = json!("B");
        body["model"] = json!("5");
        body["year"] = json!(1886);
    });
    shortest.await.expect(201);
}

#[tokio::test]
async fn rejects_duplicate_vins_even_concurrently() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let attempts = ["wbaxyz1", "WBAXYZ1", "WbaXyz1", "wbaXYZ1", "WBAxyz1"];
    let attempts = attempts.map(|vin| create(&admin, move |body| body["vin"] = json!(vin)));
    Reply::won(join_all(attempts).await, 201, "/vin");
    create(&admin, |body| body["vin"] = json!("TestVin0000000001"))
        .await
        .expect_bad_field(409, "conflict", "/vin");
    let sql = "SELECT count(*) FROM audit_logs WHERE action = 'vehicle.create'";
    let row = world.sql().await.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn change_updates_only_the_given_fields() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let before = admin.get(&path(OFFLINE)).await.expect(200);
    let change = json!({ "make": "Alpina", "year": 2022, "metadata": { "depot": 7 } });
    let after = admin.patch(&path(OFFLINE), &change).await.expect(200);
    let mut expected = before.clone();
    expected["make"] = json!("Alpina");
    expected["metadata"] = json!({ "depot": 7 });
    assert_eq!(after, expected);
    let change = json!({ "model": "é".repeat(100), "year": 2100, "metadata": metadata(65_536) });
    let after = admin.patch(&path(OFFLINE), &change).await.expect(200);
    assert_eq!(after["model"], change["model"]);
    assert_eq!(after["metadata"], change["metadata"]);
    assert_eq!(admin.get(&path(OFFLINE)).await.expect(200), after);

    let entries = audited(&world, OFFLINE).await;
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["action"], "vehicle.update");
    assert_eq!(entries[0]["vehicle_id"], OFFLINE);
    assert_eq!(
        entries[0]["user_id"],
        "00000000-0000-0000-0000-000000000001"
    );
    let details = json!({
        "make": { "from": "BMW", "to": "Alpina" },
        "metadata": { "from": {}, "to": { "depot": 7 } },
    });
    assert_eq!(entries[0]["details"], details);
}

#[tokio::test]
async fn invalid_change_has_no_effect() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let before = admin.get(&path(CONNECTED)).await.expect(200);
    for (change, pointer) in [
        (json!({}), ""),
        (json!({ "vin": "WBAXYZ1" }), "/vin"),
        (json!({ "make": "" }), "/make"),
        (json!({ "make": "é".repeat(101) }), "/make"),
        (json!({ "model": "" }), "/model"),
        (json!({ "model": "é".repeat(101) }), "/model"),
        (json!({ "year": 1885 }), "/year"),
        (json!({ "year": 2101 }), "/year"),
        (
            json!({ "connection_status": "flying" }),
            "/connection_status",
        ),
        (json!({ "metadata": 1 }), "/metadata"),
        (
            json!({ "make": "Alpina", "metadata": metadata(65_537) }),
            "/metadata",
        ),
        (
            json!({ "last_seen_at": "2026-01-01T00:00:00Z" }),
            "/last_seen_at",
        ),
    ] {
        let reply = admin.patch(&path(CONNECTED), &change).await;
        reply.expect_bad_field(422, "validation_failed", pointer);
    }
    assert_eq!(admin.get(&path(CONNECTED)).await.expect(200), before);
    assert!(audited(&world, CONNECTED).await.is_empty());
    let unknown = path("00000000-0000-0000-0000-00000000ffff");
    admin
        .patch(&unknown, &json!({ "year": 2022 }))
        .await
        .expect_problem(404, "not_found");
    admin
        .delete(&unknown)
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn reconnection_updates_last_seen_and_sends_queued_commands() {
    let world = World::with(|settings| settings.dispatch.sweep_ms = 60_000).await;
    let (admin, engineer) = (world.log_in("admin").await, world.log_in("engineer").await);
    let waiting = engineer.read_dtc_offline(3600).await;
    let seen = async |status: &str| {
        let change = json!({ "connection_status": status });
        let vehicle = admin.patch(&path(OFFLINE), &change).await.expect(200);
        assert_eq!(vehicle["connection_status"], status);
        vehicle["last_seen_at"].as_str().unwrap().to_owned()
    };
    let before = seen("error").await;
    let back = seen("connected").await;
    assert!(before < back, "{before} {back}");
    // The next sweep is a minute away, so only the reconnection can wake the dispatcher.
    assert_eq!(engineer.ended(&waiting).await["status"], "completed");
    assert_eq!(seen("connected").await, back);
    assert_eq!(seen("disconnected").await, back);

    let entries = audited(&world, OFFLINE).await;
    let details: Vec<&Value> = entries.iter().map(|entry| &entry["details"]).collect();
    let change = |from: &str, to: &str| json!({ "connection_status": { "from": from, "to": to } });
    assert_eq!(
        details,
        [
            &change("disconnected", "error"),
            &change("error", "connected"),
            &json!({}),
            &change("connected", "disconnected"),
        ]
    );
}

#[tokio::test]
async fn reports_connection_changes_as_fleet_events() {
    let world = own_bus().await;
    let (admin, engineer) = (world.log_in("admin").await, world.log_in("engineer").await);
    let mut socket = listening(&world, &engineer, "/ws/events").await;
    let change = json!({ "connection_status": "error" });
    admin.patch(&path(CONNECTED), &change).await.expect(200);
    within("the vehicle", async {
        loop {
            let event = socket.next().await.unwrap();
            if event["event"] == "vehicle" && event["vehicle_id"] == CONNECTED {
                assert_eq!(event["connection_status"], "error");
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn deletion_keeps_the_audit_trail() {
    let world = World::start().await;
    let (admin, engineer) = (world.log_in("admin").await, world.log_in("engineer").await);
    let command = engineer.read_dtc().await;
    engineer.ended(&command).await;
    admin.delete(&path(CONNECTED)).await.expect(204);
    for gone in [path(CONNECTED), format!("{COMMANDS}/{command}")] {
        admin.get(&gone).await.expect_problem(404, "not_found");
    }
    admin
        .delete(&path(CONNECTED))
        .await
        .expect_problem(404, "not_found");
    let sent = format!("/api/v1/audit-logs?action=command.submit&vehicle_id={CONNECTED}");
    assert_eq!(admin.get(&sent).await.headers["x-total-count"], "1");

    let deleted = format!("/api/v1/audit-logs?action=vehicle.delete&vehicle_id={CONNECTED}");
    assert_eq!(admin.get(&deleted).await.headers["x-total-count"], "1");
    let entries = audited(&world, CONNECTED).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["action"], "vehicle.delete");
    assert_eq!(
        entries[0]["user_id"],
        "00000000-0000-0000-0000-000000000001"
    );
    let details = json!({
        "vin": "TESTVIN0000000001", "make": "Tesla", "model": "Model 3", "year": 2023,
        "vehicle_type": null, "owner_id": null,
    });
    assert_eq!(entries[0]["details"], details);
    create(&admin, |body| body["vin"] = json!("TESTVIN0000000001"))
        .await
        .expect(201);
}

#[tokio::test]
async fn keeps_a_vehicle_with_open_commands() {
    let world = World::start().await;
    let (admin, engineer) = (world.log_in("admin").await, world.log_in("engineer").await);
    let waiting = engineer.read_dtc_offline(3600).await;
    admin
        .delete(&path(OFFLINE))
        .await
        .expect_problem(409, "conflict");
    admin.get(&path(OFFLINE)).await.expect(200);
    assert!(audited(&world, OFFLINE).await.is_empty());
    let cancel = format!("{COMMANDS}/{waiting}/cancel");
    engineer.post(&cancel, &json!({})).await.expect(200);
    admin.delete(&path(OFFLINE)).await.expect(204);
}

#[tokio::test]
async fn one_of_concurrent_submission_and_deletion_wins() {
    let world = World::start().await;
    let (admin, engineer) = (world.log_in("admin").await, world.log_in("engineer").await);
    for number in 0..10 {
        let vin = format!("RACE{number}");
        let vehicle = create(&admin, |body| body["vin"] = json!(vin)).await;
        let vehicle = vehicle.expect(201);
        let id = vehicle["vehicle_id"].as_str().unwrap();
        let command = json!({
            "vehicle_id": id, "command_name": "ReadDTC",
            "command_params": { "ecuAddress": "0x10" },
        });
        let gone = path(id);
        let (sent, deleted) = join(engineer.post(COMMANDS, &command), admin.delete(&gone)).await;
        let outcome = (sent.status.as_u16(), deleted.status.as_u16());
        assert!(
            [(201, 409), (404, 204)].contains(&outcome),
            "{sent:?} {deleted:?}"
        );
    }
}

#[tokio::test]
async fn engineers_cannot_change_vehicles() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for refused in [
        engineer.post(VEHICLES, &x5()).await,
        engineer
            .patch(&path(OFFLINE), &json!({ "year": 2023 }))
            .await,
        engineer.delete(&path(OFFLINE)).await,
    ] {
        refused.expect_problem(403, "forbidden");
    }
    let vehicle = engineer.get(&path(OFFLINE)).await.expect(200);
    assert_eq!(vehicle["year"], 2022);
}
