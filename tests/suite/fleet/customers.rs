use futures_util::future::join3;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, OWNED, World, within};

use crate::{
    fleet::events::{listening, own_bus},
    maintenance::bookings::{self, BOOKINGS, book, moment},
};

const VEHICLES: &str = "/api/v1/vehicles";
const COMMANDS: &str = "/api/v1/commands";
const CUSTOMER: &str = "00000000-0000-0000-0000-000000000003";
const ENGINEER: &str = "00000000-0000-0000-0000-000000000002";

fn path(vehicle_id: &str) -> String {
    format!("{VEHICLES}/{vehicle_id}")
}

async fn give(admin: &Client, vehicle_id: &str, owner_id: &Value) -> Value {
    let change = json!({ "owner_id": owner_id });
    admin.patch(&path(vehicle_id), &change).await.expect(200)
}

/// Creates another customer; returns their id.
async fn buyer(admin: &Client) -> String {
    let buyer = json!({
        "username": "buyer", "email": "buyer@example.com", "role": "customer",
        "password": "a long enough password",
    });
    let buyer = admin.post("/api/v1/users", &buyer).await.expect(201);
    buyer["user_id"].as_str().unwrap().to_owned()
}

async fn log_in_buyer(world: &World) -> Client {
    let mut buyer = world.anonymous();
    buyer.log_in("buyer", "a long enough password").await;
    buyer
}

/// The details of the audit entries of an action, oldest first.
async fn details(world: &World, action: &str) -> Vec<Value> {
    let entries = world.audit_entries(action).await;
    entries
        .into_iter()
        .map(|mut it| it["details"].take())
        .collect()
}

/// The action and entity of each refusal of the customer in the audit trail.
async fn refused(world: &World) -> Vec<(String, String)> {
    world.wait_for_refusals().await;
    let sql = "SELECT action, entity_id::text FROM audit_logs
               WHERE result = 'refused' AND actor_id::text = $1 ORDER BY timestamp, log_id";
    let rows = world.sql().await.query(sql, &[&CUSTOMER]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn customers_see_only_their_own_vehicles() {
    let world = World::start().await;
    let (admin, customer) = (world.log_in("admin").await, world.log_in("customer").await);
    let buyer = buyer(&admin).await;
    give(&admin, OFFLINE, &json!(buyer)).await;
    let reply = customer.get(VEHICLES).await;
    assert_eq!(reply.headers["x-total-count"], "1");
    let list = reply.expect(200);
    assert_eq!(list[0]["vehicle_id"], OWNED);
    assert_eq!(list[0]["owner_id"], CUSTOMER);
    assert_eq!(list[0]["vehicle_type"], "EV");
    assert_eq!(customer.get(&path(OWNED)).await.expect(200), list[0]);
    for query in ["?search=TESTVIN", &format!("?owner_id={buyer}")] {
        let none = customer
            .get(&format!("{VEHICLES}{query}"))
            .await
            .expect(200);
        assert_eq!(none, json!([]));
    }
    let nowhere = "00000000-0000-0000-0000-00000000ffff";
    for (vehicle_id, part) in [(CONNECTED, ""), (OFFLINE, "/status"), (nowhere, "")] {
        let path = format!("{}{part}", path(vehicle_id));
        customer.get(&path).await.expect_problem(404, "not_found");
    }
    let attempts = [CONNECTED, OFFLINE, nowhere];
    let attempts = attempts.map(|id| ("vehicle.read".to_owned(), id.to_owned()));
    assert_eq!(refused(&world).await, attempts);
}

#[tokio::test]
async fn customers_receive_events_of_their_own_vehicles_only() {
    let world = own_bus().await;
    let (admin, customer) = (world.log_in("admin").await, world.log_in("customer").await);
    // [`listening`] needs events of this vehicle.
    give(&admin, OFFLINE, &json!(CUSTOMER)).await;
    let mut socket = listening(&world, &customer, "/ws/events").await;
    give(&admin, OFFLINE, &Value::Null).await;
    for vehicle_id in [CONNECTED, OFFLINE, OWNED] {
        let away = json!({ "connection_status": "disconnected" });
        admin.patch(&path(vehicle_id), &away).await.expect(200);
        let back = json!({ "connection_status": "connected" });
        admin.patch(&path(vehicle_id), &back).await.expect(200);
    }
    within("an event of the customer's vehicle", async {
        loop {
            let event = socket.next().await.unwrap();
            assert_ne!(event["vehicle_id"], CONNECTED, "{event}");
            if event["vehicle_id"] == OWNED {
                assert_eq!(event["owner_id"], CUSTOMER);
                return;
            }
            // An event from before the change of owner.
            assert_ne!(event["connection_status"], "connected", "{event}");
        }
    })
    .await;
    let other = format!("/ws/events?vehicle_id={CONNECTED}");
    let (_, closing) = customer.open_at(&other).await.rest().await;
    assert_eq!(closing.code, 1008);
}

#[tokio::test]
async fn former_owner_loses_access() {
    let world = World::start().await;
    let (admin, customer) = (world.log_in("admin").await, world.log_in("customer").await);
    let buyer = buyer(&admin).await;
    let sold = give(&admin, OWNED, &json!(buyer)).await;
    assert_eq!(sold["owner_id"], json!(buyer));
    customer
        .get(&path(OWNED))
        .await
        .expect_problem(404, "not_found");
    let owner = log_in_buyer(&world).await;
    assert_eq!(owner.get(&path(OWNED)).await.expect(200), sold);
    let ownerless = give(&admin, OWNED, &Value::Null).await;
    assert_eq!(ownerless["owner_id"], Value::Null);
    owner
        .get(&path(OWNED))
        .await
        .expect_problem(404, "not_found");
    let changes = details(&world, "vehicle.update").await;
    let changes: Vec<&Value> = changes.iter().map(|change| &change["owner_id"]).collect();
    let expected = [
        &json!({ "from": CUSTOMER, "to": buyer }),
        &json!({ "from": buyer, "to": null }),
    ];
    assert_eq!(changes, expected);
}

#[tokio::test]
async fn owner_must_be_a_customer() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for owner_id in [ENGINEER, OWNED] {
        let change = json!({ "owner_id": owner_id });
        admin.patch(&path(OWNED), &change).await.expect_bad_field(
            422,
            "validation_failed",
            "/owner_id",
        );
        let new = json!({
            "vin": "WBAXYZ9", "make": "BMW", "model": "X5", "year": 2022, "owner_id": owner_id,
        });
        admin
            .post(VEHICLES, &new)
            .await
            .expect_bad_field(422, "validation_failed", "/owner_id");
    }
    for (field, value) in [("owner_id", json!("me")), ("vehicle_type", json!("HYBRID"))] {
        let mut change = json!({});
        change[field] = value;
        admin.patch(&path(OWNED), &change).await.expect_bad_field(
            422,
            "validation_failed",
            &format!("/{field}"),
        );
    }
    let new = json!({
        "vin": "WBAXYZ9", "make": "BMW", "model": "X5", "year": 2022, "owner_id": CUSTOMER,
        "vehicle_type": "ICE",
    });
    let vehicle = admin.post(VEHICLES, &new).await.expect(201);
    assert_eq!(vehicle["owner_id"], CUSTOMER);
    assert_eq!(vehicle["vehicle_type"], "ICE");
    let untyped = json!({ "vehicle_type": null });
    let id = vehicle["vehicle_id"].as_str().unwrap();
    let vehicle = admin.patch(&path(id), &untyped).await.expect(200);
    assert_eq!(vehicle["vehicle_type"], Value::Null);
    assert_eq!(vehicle["owner_id"], CUSTOMER);
}

#[tokio::test]
async fn change_of_owner_removes_customer_notes() {
    let world = World::start().await;
    let (admin, customer) = (world.log_in("admin").await, world.log_in("customer").await);
    let (time, secret) = (moment(&world, "1 day").await, "The key is below the mat.");
    let noted = |body: &mut Value| body["customer_notes"] = json!(secret);
    let mut booking = book(&customer, OWNED, time, noted).await.expect(201);
    let mut other = book(&admin, OFFLINE, time, noted).await.expect(201);
    // Notes stay on the first assignment, on assignment to the same owner, and on other changes.
    give(&admin, OFFLINE, &json!(CUSTOMER)).await;
    give(&admin, OFFLINE, &json!(CUSTOMER)).await;
    let change = json!({ "year": 2024 });
    admin.patch(&path(OFFLINE), &change).await.expect(200);
    let changes = details(&world, "vehicle.update").await;
    assert!(
        changes
            .iter()
            .all(|change| change["customer_notes_removed"].is_null()),
        "{changes:?}"
    );
    let found = |client: Client, booking: Value| async move {
        client.get(&bookings::path(&booking)).await.expect(200)
    };
    assert_eq!(found(customer.clone(), other.clone()).await, other);

    let buyer = buyer(&admin).await;
    give(&admin, OWNED, &json!(buyer)).await;
    let owner = log_in_buyer(&world).await;
    booking["customer_notes"] = Value::Null;
    assert_eq!(found(owner.clone(), booking.clone()).await, booking);
    let list = owner.get(BOOKINGS).await.expect(200);
    let list = list.as_array().unwrap();
    // Three bookings are seeds.
    assert_eq!(list.len(), 4);
    assert!(
        list.iter()
            .all(|booking| booking["customer_notes"].is_null())
    );
    assert_eq!(found(customer, other.clone()).await, other);

    // Also with a period without an owner in between.
    give(&admin, OFFLINE, &Value::Null).await;
    give(&admin, OFFLINE, &json!(buyer)).await;
    other["customer_notes"] = Value::Null;
    assert_eq!(found(owner, other.clone()).await, other);
    let changes = details(&world, "vehicle.update").await;
    let expected = [
        json!({
            "owner_id": { "from": CUSTOMER, "to": buyer }, "customer_notes_removed": 3,
        }),
        json!({
            "owner_id": { "from": CUSTOMER, "to": null }, "customer_notes_removed": 1,
        }),
        json!({ "owner_id": { "from": null, "to": buyer } }),
    ];
    assert_eq!(changes[3..], expected);
}

#[tokio::test]
async fn owner_of_a_vehicle_keeps_the_customer_role() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let customer = format!("/api/v1/users/{CUSTOMER}");
    for role in ["admin", "engineer", "service", "manufacturer"] {
        admin
            .patch(&customer, &json!({ "role": role }))
            .await
            .expect_bad_field(409, "conflict", "/role");
    }
    for change in [json!({ "role": "customer" }), json!({ "is_active": false })] {
        admin.patch(&customer, &change).await.expect(200);
    }
    assert_eq!(admin.get(&customer).await.expect(200)["role"], "customer");
    give(&admin, OWNED, &Value::Null).await;
    let service = json!({ "role": "service" });
    let changed = admin.patch(&customer, &service).await.expect(200);
    assert_eq!(changed["role"], "service");
}

#[tokio::test]
async fn role_change_and_ownership_are_serialized() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let (vehicle, customer) = (path(OFFLINE), format!("/api/v1/users/{CUSTOMER}"));
    let (role, owner) = (
        json!({ "role": "service" }),
        json!({ "owner_id": CUSTOMER }),
    );
    give(&admin, OWNED, &Value::Null).await;

    let sql = world.sql().await;
    let hold = "BEGIN; SELECT FROM vehicles FOR UPDATE";
    sql.batch_execute(hold).await.unwrap();
    let change_role = async {
        // By now the transaction has locked the new owner.
        world.wait_until_blocked(1).await;
        admin.patch(&customer, &role).await
    };
    let release = async {
        world.wait_until_blocked(2).await;
        sql.batch_execute("COMMIT").await.unwrap();
    };
    let give_vehicle = admin.patch(&vehicle, &owner);
    let (given, changed, ()) = join3(give_vehicle, change_role, release).await;
    given.expect(200);
    changed.expect_bad_field(409, "conflict", "/role");

    give(&admin, OFFLINE, &Value::Null).await;
    // A role change locks the user before it ends the sessions.
    world.log_in("customer").await;
    let hold = "BEGIN; SELECT FROM sessions JOIN users USING (user_id)
                   WHERE username = 'customer' FOR UPDATE OF sessions";
    sql.batch_execute(hold).await.unwrap();
    let give_vehicle = async {
        world.wait_until_blocked(1).await;
        admin.patch(&vehicle, &owner).await
    };
    let release = async {
        world.wait_until_blocked(2).await;
        sql.batch_execute("COMMIT").await.unwrap();
    };
    let change_role = admin.patch(&customer, &role);
    let (changed, given, ()) = join3(change_role, give_vehicle, release).await;
    changed.expect(200);
    given.expect_bad_field(422, "validation_failed", "/owner_id");
}

#[tokio::test]
async fn audits_each_vehicle_of_a_deleted_customer() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    give(&admin, OFFLINE, &json!(CUSTOMER)).await;
    let customer = format!("/api/v1/users/{CUSTOMER}");
    admin.delete(&customer).await.expect(204);
    let expected = [
        json!({
            "vin": "TESTVIN0000000002", "make": "BMW", "model": "X5", "year": 2022,
            "vehicle_type": null, "owner_id": CUSTOMER,
        }),
        json!({
            "vin": "VIN123456789", "make": "Tesla", "model": "Model 3", "year": 2023,
            "vehicle_type": "EV", "owner_id": CUSTOMER,
        }),
    ];
    for (vehicle_id, expected) in [OFFLINE, OWNED].iter().zip(&expected) {
        let entries = format!("/api/v1/audit-logs?action=vehicle.delete&vehicle_id={vehicle_id}");
        assert_eq!(admin.get(&entries).await.headers["x-total-count"], "1");
        let sql = "SELECT details FROM audit_logs
                   WHERE action = 'vehicle.delete' AND entity_id::text = $1
                       AND actor_id::text = '00000000-0000-0000-0000-000000000001'";
        let row = world.sql().await.query_one(sql, &[vehicle_id]).await;
        assert_eq!(&row.unwrap().get::<_, Value>(0), expected);
    }
}

#[tokio::test]
async fn keeps_a_customer_whose_vehicle_has_open_commands() {
    let world = World::start().await;
    let (admin, engineer) = (world.log_in("admin").await, world.log_in("engineer").await);
    give(&admin, OFFLINE, &json!(CUSTOMER)).await;
    let command_id = engineer.read_dtc_offline(3600).await;
    let customer = format!("/api/v1/users/{CUSTOMER}");
    admin
        .delete(&customer)
        .await
        .expect_problem(409, "conflict");
    assert_eq!(details(&world, "vehicle.delete").await, [json!(null); 0]);
    engineer
        .post(&format!("{COMMANDS}/{command_id}/cancel"), &json!({}))
        .await
        .expect(200);
    assert_eq!(admin.delete(&customer).await.status, 204);
    for vehicle_id in [OFFLINE, OWNED] {
        admin
            .get(&path(vehicle_id))
            .await
            .expect_problem(404, "not_found");
    }
    engineer
        .get(&format!("{COMMANDS}/{command_id}"))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn service_role_submits_only_reading_commands() {
    let world = World::start().await;
    let (service, engineer) = (
        world.log_in("service").await,
        world.log_in("engineer").await,
    );
    let read = service.read_dtc().await;
    assert_eq!(service.ended(&read).await["status"], "completed");
    let clear = json!({
        "vehicle_id": CONNECTED, "command_name": "ClearDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    service
        .post(COMMANDS, &clear)
        .await
        .expect_problem(403, "forbidden");
    let others = engineer.read_dtc().await;
    service
        .get(&format!("{COMMANDS}/{others}"))
        .await
        .expect_problem(404, "not_found");
    let list = service.get(COMMANDS).await.expect(200);
    assert_eq!(list["total"], 1);
    assert_eq!(list["commands"][0]["command_id"], read);
    let catalog = service
        .get(&format!("{COMMANDS}/catalog"))
        .await
        .expect(200);
    for command in catalog.as_array().unwrap() {
        let roles = command["allowed_roles"].as_array().unwrap();
        let is_reading = command["risk"] == "read";
        assert_eq!(roles.contains(&json!("service")), is_reading, "{command}");
    }
}

#[tokio::test]
async fn service_accounts_cannot_have_the_customer_role() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let account = |role: &str| {
        json!({
            "name": format!("agent-of-{role}"), "role": role,
            "permissions": ["vehicles.read"], "expires_in_days": 1,
        })
    };
    admin
        .post("/api/v1/service-accounts", &account("customer"))
        .await
        .expect_bad_field(422, "validation_failed", "/role");
    for role in ["service", "manufacturer"] {
        admin
            .post("/api/v1/service-accounts", &account(role))
            .await
            .expect(201);
    }
    let mut beyond = account("service");
    beyond["permissions"] = json!(["bookings.manage", "insights.record"]);
    admin
        .post("/api/v1/service-accounts", &beyond)
        .await
        .expect_bad_field(422, "validation_failed", "/permissions/1");
}
