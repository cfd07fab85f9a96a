//! Access to bookings by customers and keys.

use futures_util::future::join;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OWNED, World};

use crate::{
    agents::policy::{allowing, machine_as},
    maintenance::bookings::{BOOKINGS, anomaly, audited, book, moment, path},
};

/// Starts the program with a policy that allows `robot` to book and to manage bookings.
async fn robots() -> World {
    allowing(&["robot:bookings.book", "robot:bookings.manage"]).await
}

/// Creates the service account `robot` with these permissions, for one vehicle or for all.
async fn machine(world: &World, permissions: &[&str], vehicle: Option<&str>) -> Client {
    let mut account = json!({
        "name": "robot", "role": "service", "permissions": permissions, "expires_in_days": 1,
    });
    if let Some(vehicle) = vehicle {
        account["vehicle_ids"] = json!([vehicle]);
    }
    machine_as(world, account).await
}

/// Returns the action and the object of each audited refusal about bookings.
async fn refused(world: &World) -> Vec<(String, String, String)> {
    world.wait_for_refusals().await;
    let sql = "SELECT action, entity_type, entity_id::text FROM audit_logs
               WHERE result = 'refused' AND action LIKE 'booking.%' ORDER BY timestamp";
    let rows = world.sql().await.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect()
}

#[tokio::test]
async fn customers_book_and_cancel_for_their_own_vehicle() {
    let world = World::start().await;
    let customer = world.log_in("customer").await;
    let time = moment(&world, "1 day").await;
    let anomaly = anomaly(&world, OWNED).await;
    let booking = book(&customer, OWNED, time, |body| {
        body["service_center_id"] = json!("center-bonn");
        body["customer_notes"] = json!("It rattles.");
        body["anomaly_event_id"] = json!(anomaly);
    });
    let mut booking = booking.await.expect(201);
    assert_eq!(customer.get(&path(&booking)).await.expect(200), booking);
    let cancelled = customer
        .patch(&path(&booking), &json!({ "status": "CANCELLED" }))
        .await;
    booking["status"] = json!("CANCELLED");
    assert_eq!(cancelled.expect(200), booking);
    let entries = audited(&world, &booking).await;
    let users: Vec<&Value> = entries.iter().map(|entry| &entry["user_id"]).collect();
    assert_eq!(users, [&json!("00000000-0000-0000-0000-000000000003"); 2]);
}

#[tokio::test]
async fn customers_can_only_cancel() {
    let world = World::start().await;
    let (customer, service) = (
        world.log_in("customer").await,
        world.log_in("service").await,
    );
    let time = moment(&world, "1 day").await;
    let booking = book(&customer, OWNED, time, |_| {}).await.expect(201);
    let change = async |change: Value| customer.patch(&path(&booking), &change).await;
    for refused in [
        json!({ "status": "CONFIRMED" }),
        json!({ "status": "PENDING" }),
        json!({ "status": "COMPLETED" }),
        json!({ "appointment_time": time }),
        json!({ "customer_notes": "Please call." }),
        json!({ "customer_notes": null }),
        json!({ "outcome": "other" }),
        json!({ "status": "CANCELLED", "customer_notes": "Please call." }),
        json!({ "status": "CANCELLED", "appointment_time": time }),
        json!({ "status": "CANCELLED", "outcome": "other" }),
    ] {
        change(refused).await.expect_problem(403, "forbidden");
    }
    change(json!({}))
        .await
        .expect_bad_field(422, "validation_failed", "");
    assert_eq!(customer.get(&path(&booking)).await.expect(200), booking);
    let confirm = json!({ "status": "CONFIRMED" });
    service.patch(&path(&booking), &confirm).await.expect(200);
    change(json!({ "status": "CANCELLED" })).await.expect(200);
    change(json!({ "status": "CANCELLED" }))
        .await
        .expect_bad_field(409, "conflict", "/status");
}

#[tokio::test]
async fn conceals_bookings_of_other_vehicles_from_customers_and_audits_attempts() {
    let world = World::start().await;
    let (customer, service) = (
        world.log_in("customer").await,
        world.log_in("service").await,
    );
    let time = moment(&world, "1 day").await;
    let hidden = anomaly(&world, CONNECTED).await;
    let other = book(&service, CONNECTED, time, |_| {}).await.expect(201);
    let own = book(&customer, OWNED, time, |_| {}).await.expect(201);

    customer
        .get(&path(&other))
        .await
        .expect_problem(404, "not_found");
    customer
        .patch(&path(&other), &json!({ "status": "CANCELLED" }))
        .await
        .expect_problem(404, "not_found");
    book(&customer, CONNECTED, time, |_| {})
        .await
        .expect_bad_field(404, "not_found", "/vehicle_id");
    book(&customer, OWNED, time, |body| {
        body["anomaly_event_id"] = json!(hidden);
    })
    .await
    .expect_bad_field(404, "not_found", "/anomaly_event_id");
    let id = other["id"].as_str().unwrap();
    let attempt = |action: &str, entity_type: &str, id: &str| {
        (action.to_owned(), entity_type.to_owned(), id.to_owned())
    };
    assert_eq!(
        refused(&world).await,
        [
            attempt("booking.read", "booking", id),
            attempt("booking.update", "booking", id),
            attempt("booking.create", "vehicle", CONNECTED),
            attempt("booking.create", "anomaly", &hidden),
        ]
    );
    assert_eq!(service.get(&path(&other)).await.expect(200), other);

    // Three are seeds.
    let reply = customer.get(BOOKINGS).await;
    assert_eq!(reply.headers["x-total-count"], "4");
    let list = reply.expect(200);
    let list = list.as_array().unwrap();
    assert_eq!(list.last(), Some(&own));
    assert!(list.iter().all(|booking| booking["vehicle_id"] == OWNED));
    let query = format!("{BOOKINGS}?vehicle_id={CONNECTED}");
    assert_eq!(customer.get(&query).await.expect(200), json!([]));
}

#[tokio::test]
async fn conceals_bookings_from_a_former_owner() {
    let world = World::start().await;
    let (customer, admin) = (world.log_in("customer").await, world.log_in("admin").await);
    let time = moment(&world, "1 day").await;
    let booking = book(&customer, OWNED, time, |_| {}).await.expect(201);
    let vehicle = format!("/api/v1/vehicles/{OWNED}");
    let sold = json!({ "owner_id": null });
    admin.patch(&vehicle, &sold).await.expect(200);
    customer
        .get(&path(&booking))
        .await
        .expect_problem(404, "not_found");
    customer
        .patch(&path(&booking), &json!({ "status": "CANCELLED" }))
        .await
        .expect_problem(404, "not_found");
    assert_eq!(customer.get(BOOKINGS).await.expect(200), json!([]));
}

#[tokio::test]
async fn rejects_and_audits_a_booking_for_a_vehicle_sold_concurrently() {
    let world = World::start().await;
    let customer = world.log_in("customer").await;
    let time = moment(&world, "1 day").await;
    let sql = world.sql().await;
    let selling = "BEGIN; UPDATE vehicles SET owner_id = NULL WHERE owner_id IS NOT NULL";
    sql.batch_execute(selling).await.unwrap();
    let sold = async {
        world.wait_until_blocked(1).await;
        sql.batch_execute("COMMIT").await.unwrap();
    };
    let (booked, ()) = join(book(&customer, OWNED, time, |_| {}), sold).await;
    booked.expect_bad_field(404, "not_found", "/vehicle_id");
    let attempt = ("booking.create", "vehicle", OWNED);
    let refused = refused(&world).await;
    let refused: Vec<(&str, &str, &str)> = refused
        .iter()
        .map(|one| (&*one.0, &*one.1, &*one.2))
        .collect();
    assert_eq!(refused, [attempt]);
}

#[tokio::test]
async fn engineers_only_read_bookings() {
    let world = World::start().await;
    let (engineer, service) = (
        world.log_in("engineer").await,
        world.log_in("service").await,
    );
    let time = moment(&world, "1 day").await;
    let booking = book(&service, CONNECTED, time, |_| {}).await.expect(201);
    assert_eq!(engineer.get(&path(&booking)).await.expect(200), booking);
    book(&engineer, CONNECTED, time, |_| {})
        .await
        .expect_problem(403, "forbidden");
    engineer
        .patch(&path(&booking), &json!({ "status": "CANCELLED" }))
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test]
async fn restricts_a_key_to_the_bookings_of_its_vehicles() {
    let world = robots().await;
    let permissions = ["bookings.read", "bookings.book", "bookings.manage"];
    let machine = machine(&world, &permissions, Some(OWNED)).await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    let other = book(&service, CONNECTED, time, |_| {}).await.expect(201);
    let confirm = json!({ "status": "CONFIRMED" });
    let own = book(&machine, OWNED, time, |_| {}).await.expect(201);
    machine.patch(&path(&own), &confirm).await.expect(200);
    book(&machine, CONNECTED, time, |_| {})
        .await
        .expect_bad_field(404, "not_found", "/vehicle_id");
    machine
        .patch(&path(&other), &confirm)
        .await
        .expect_problem(404, "not_found");
    machine
        .get(&path(&other))
        .await
        .expect_problem(404, "not_found");
    let list = machine.get(BOOKINGS).await;
    assert_eq!(list.headers["x-total-count"], "4");
}

#[tokio::test]
async fn a_key_for_booking_only_neither_manages_nor_reads_anomalies() {
    let world = robots().await;
    let machine = machine(&world, &["bookings.book"], None).await;
    let time = moment(&world, "1 day").await;
    let anomaly = anomaly(&world, CONNECTED).await;
    for about in [anomaly.as_str(), "00000000-0000-0000-0000-00000000ffff"] {
        book(&machine, CONNECTED, time, |body| {
            body["anomaly_event_id"] = json!(about);
        })
        .await
        .expect_problem(403, "forbidden");
    }
    let booking = book(&machine, CONNECTED, time, |_| {}).await.expect(201);
    machine
        .patch(&path(&booking), &json!({ "status": "CONFIRMED" }))
        .await
        .expect_problem(403, "forbidden");
    machine
        .patch(&path(&booking), &json!({ "status": "CANCELLED" }))
        .await
        .expect(200);
}
