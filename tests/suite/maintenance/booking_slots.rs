use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, Reply, World};

use crate::maintenance::bookings::{BOOKINGS, book, moment, path};

async fn book_at(client: &Client, center: &str, time: DateTime<Utc>) -> Reply {
    book(client, CONNECTED, time, |body| {
        body["service_center_id"] = json!(center);
    })
    .await
}

async fn change(client: &Client, booking: &Value, change: Value) -> Reply {
    client.patch(&path(booking), &change).await
}

#[tokio::test]
async fn a_workshop_takes_one_vehicle_at_a_time() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    let minutes = TimeDelta::minutes;
    book_at(&service, "center-bonn", time).await.expect(201);
    for overlap in [
        time,
        time + minutes(30) - TimeDelta::microseconds(1),
        time - minutes(30) + TimeDelta::microseconds(1),
    ] {
        book_at(&service, "center-bonn", overlap)
            .await
            .expect_bad_field(409, "conflict", "/appointment_time");
    }
    book(&service, OFFLINE, time, |body| {
        body["service_center_id"] = json!("center-bonn");
    })
    .await
    .expect_bad_field(409, "conflict", "/appointment_time");
    for adjacent in [time + minutes(30), time - minutes(30)] {
        book_at(&service, "center-bonn", adjacent).await.expect(201);
    }
    book_at(&service, "Center-Bonn", time).await.expect(201);
    // Bookings without a workshop never conflict.
    for _ in 0..2 {
        book(&service, CONNECTED, time, |_| {}).await.expect(201);
    }
}

#[tokio::test]
async fn slots_have_the_configured_length() {
    let world = World::with(|settings| settings.maintenance.slot_minutes = 1).await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    book_at(&service, "center-bonn", time).await.expect(201);
    let within = time + TimeDelta::seconds(59);
    book_at(&service, "center-bonn", within)
        .await
        .expect_bad_field(409, "conflict", "/appointment_time");
    let after = time + TimeDelta::seconds(60);
    book_at(&service, "center-bonn", after).await.expect(201);
}

#[tokio::test]
async fn confirming_a_booking_takes_a_missing_slot() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    let confirmed = json!({ "status": "CONFIRMED" });
    let [first, second] = ["center-bonn", "center-berlin"].map(|center| {
        let (service, world) = (&service, &world);
        async move {
            let booking = book_at(service, center, time).await.expect(201);
            let sql = "DELETE FROM booking_slots WHERE service_center_id = $1";
            let deleted = world.sql().await.execute(sql, &[&center]).await;
            assert_eq!(deleted.unwrap(), 1);
            booking
        }
    });
    let (first, second) = join(first, second).await;
    book_at(&service, "center-bonn", time).await.expect(201);
    change(&service, &first, confirmed.clone())
        .await
        .expect_bad_field(409, "conflict", "/appointment_time");
    assert_eq!(service.get(&path(&first)).await.expect(200), first);
    change(&service, &second, confirmed).await.expect(200);
    book_at(&service, "center-berlin", time)
        .await
        .expect_bad_field(409, "conflict", "/appointment_time");
}

#[tokio::test]
async fn a_longer_slot_setting_does_not_affect_existing_bookings() {
    let world = World::with(|settings| settings.maintenance.slot_minutes = 1).await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    let first = book_at(&service, "center-bonn", time).await.expect(201);
    let after = time + TimeDelta::minutes(1);
    book_at(&service, "center-bonn", after).await.expect(201);
    let other = world
        .beside(|settings| settings.maintenance.slot_minutes = 60)
        .await;
    let elsewhere = service.at(other.address());
    change(&elsewhere, &first, json!({ "status": "CONFIRMED" }))
        .await
        .expect(200);
}

#[tokio::test]
async fn ending_a_booking_frees_its_slot() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    for end in [
        &["CANCELLED"][..],
        &["CONFIRMED", "CANCELLED"],
        &["CONFIRMED", "COMPLETED"],
    ] {
        let booking = book_at(&service, "center-bonn", time).await.expect(201);
        for status in end {
            book_at(&service, "center-bonn", time)
                .await
                .expect_bad_field(409, "conflict", "/appointment_time");
            change(&service, &booking, json!({ "status": status }))
                .await
                .expect(200);
        }
    }
    book_at(&service, "center-bonn", time).await.expect(201);
}

#[tokio::test]
async fn rescheduling_a_booking_moves_its_slot() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    let hour = TimeDelta::hours(1);
    let first = book_at(&service, "center-bonn", time).await.expect(201);
    let second = book_at(&service, "center-bonn", time + hour)
        .await
        .expect(201);
    let to = |time: DateTime<Utc>| json!({ "appointment_time": time });
    change(&service, &first, to(time + hour))
        .await
        .expect_bad_field(409, "conflict", "/appointment_time");
    assert_eq!(service.get(&path(&first)).await.expect(200), first);
    // Overlaps only its own slot.
    change(&service, &first, to(time + TimeDelta::minutes(10)))
        .await
        .expect(200);
    change(&service, &second, json!({ "status": "CONFIRMED" }))
        .await
        .expect(200);
    change(&service, &second, to(time + hour * 2))
        .await
        .expect(200);
    change(&service, &first, to(time + hour)).await.expect(200);
    book_at(&service, "center-bonn", time).await.expect(201);
    book_at(&service, "center-bonn", time + hour * 2)
        .await
        .expect_bad_field(409, "conflict", "/appointment_time");
}

#[tokio::test]
async fn one_of_twenty_concurrent_bookings_on_two_nodes_gets_the_slot() {
    let world = World::start().await;
    let other = world.beside(|_| {}).await;
    let service = world.log_in("service").await;
    let elsewhere = service.at(other.address());
    let time = moment(&world, "1 day").await;
    // Different vehicles, so that the bookings do not wait for the lock of a vehicle.
    let admin = world.log_in("admin").await;
    let mut vehicles = Vec::new();
    for number in 0..20 {
        let body = json!({
            "vin": format!("SLOT{number}"), "make": "BMW", "model": "X5", "year": 2022,
        });
        let vehicle = admin.post("/api/v1/vehicles", &body).await.expect(201);
        vehicles.push(vehicle["vehicle_id"].as_str().unwrap().to_owned());
    }
    let attempts = vehicles.iter().zip(0..).map(|(vehicle, number)| {
        let client = if number % 2 == 0 {
            &service
        } else {
            &elsewhere
        };
        // All overlap each other.
        let time = time + TimeDelta::minutes(number);
        book(client, vehicle, time, |body| {
            body["service_center_id"] = json!("center-bonn");
        })
    });
    Reply::won(join_all(attempts).await, 201, "/appointment_time");
    let pending = format!("{BOOKINGS}?status=PENDING");
    assert_eq!(service.get(&pending).await.headers["x-total-count"], "1");
    let sql = "SELECT count(*) FROM audit_logs WHERE action = 'booking.create'";
    let row = world.sql().await.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn one_of_two_concurrent_state_changes_wins() {
    let world = World::start().await;
    let other = world.beside(|_| {}).await;
    let service = world.log_in("service").await;
    let elsewhere = service.at(other.address());
    let time = moment(&world, "1 day").await;
    for [one, two] in [["CONFIRMED", "CONFIRMED"], ["CANCELLED", "CANCELLED"]] {
        for _ in 0..5 {
            let booking = book(&service, CONNECTED, time, |_| {}).await.expect(201);
            let (one, two) = join(
                change(&service, &booking, json!({ "status": one })),
                change(&elsewhere, &booking, json!({ "status": two })),
            )
            .await;
            Reply::won(vec![one, two], 200, "/status");
        }
    }
}

#[tokio::test]
async fn serializes_a_concurrent_confirmation_and_cancellation() {
    let world = World::start().await;
    let other = world.beside(|_| {}).await;
    let service = world.log_in("service").await;
    let elsewhere = service.at(other.address());
    let time = moment(&world, "1 day").await;
    for _ in 0..10 {
        let booking = book_at(&service, "center-bonn", time).await.expect(201);
        let (confirmed, cancelled) = join(
            change(&service, &booking, json!({ "status": "CONFIRMED" })),
            change(&elsewhere, &booking, json!({ "status": "CANCELLED" })),
        )
        .await;
        // A confirmed booking can still be cancelled.
        cancelled.expect(200);
        if confirmed.status != 200 {
            confirmed.expect_bad_field(409, "conflict", "/status");
        }
        let found = service.get(&path(&booking)).await.expect(200);
        assert_eq!(found["status"], "CANCELLED");
    }
}

#[tokio::test]
async fn swapping_the_slots_of_two_bookings_does_not_deadlock() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    let hour = TimeDelta::hours(1);
    for _ in 0..5 {
        let one = book_at(&service, "center-bonn", time).await.expect(201);
        let two = book(&service, OFFLINE, time + hour, |body| {
            body["service_center_id"] = json!("center-bonn");
        });
        let two = two.await.expect(201);
        let (left, right) = join(
            change(&service, &one, json!({ "appointment_time": time + hour })),
            change(&service, &two, json!({ "appointment_time": time })),
        )
        .await;
        for refused in [left, right] {
            refused.expect_bad_field(409, "conflict", "/appointment_time");
        }
        for booking in [one, two] {
            change(&service, &booking, json!({ "status": "CANCELLED" }))
                .await
                .expect(200);
        }
    }
}
