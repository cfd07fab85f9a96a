use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use futures_util::{FutureExt, future::join3};
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, OWNED, Reply, World};

pub(crate) const BOOKINGS: &str = "/api/v1/bookings";

/// Returns the time after an interval such as `1 day`, truncated to seconds.
pub(crate) async fn moment(world: &World, interval: &str) -> DateTime<Utc> {
    let sql = "SELECT to_json(now() + $1::text::interval)::text";
    let row = world.sql().await.query_one(sql, &[&interval]).await;
    let text: String = row.unwrap().get(0);
    let moment: DateTime<Utc> = serde_json::from_str(&text).unwrap();
    moment.trunc_subsecs(0)
}

/// Books an appointment of a vehicle.
pub(crate) async fn book(
    client: &Client,
    vehicle: &str,
    time: DateTime<Utc>,
    change: impl FnOnce(&mut Value),
) -> Reply {
    let mut body = json!({ "vehicle_id": vehicle, "appointment_time": time });
    change(&mut body);
    client.post(BOOKINGS, &body).await
}

pub(crate) fn path(booking: &Value) -> String {
    format!("{BOOKINGS}/{}", booking["id"].as_str().unwrap())
}

/// Inserts an open anomaly of a vehicle.
pub(crate) async fn anomaly(world: &World, vehicle: &str) -> String {
    let sql = "INSERT INTO anomaly_events (vehicle_id, anomaly_type, severity)
               VALUES ($1::text::uuid, 'battery', 'High') RETURNING id::text";
    let row = world.sql().await.query_one(sql, &[&vehicle]).await;
    row.unwrap().get(0)
}

/// Changes a pending booking to a state.
async fn change_to(service: &Client, booking: &Value, status: &str) {
    let transitions: &[&str] = match status {
        "PENDING" => &[],
        "CONFIRMED" => &["CONFIRMED"],
        "COMPLETED" => &["CONFIRMED", "COMPLETED"],
        "CANCELLED" => &["CANCELLED"],
        other => panic!("{other}"),
    };
    for status in transitions {
        let change = json!({ "status": status });
        service.patch(&path(booking), &change).await.expect(200);
    }
}

/// Returns the audit entries about a booking, oldest first.
pub(crate) async fn audited(world: &World, booking: &Value) -> Vec<Value> {
    world.wait_for_refusals().await;
    let sql = "SELECT to_jsonb(audit_logs) FROM audit_logs
               WHERE entity_type = 'booking' AND entity_id::text = $1 ORDER BY timestamp";
    let id = booking["id"].as_str().unwrap();
    let rows = world.sql().await.query(sql, &[&id]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn creates_and_returns_a_booking() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let time = moment(&world, "3 days").await;
    let anomaly = anomaly(&world, CONNECTED).await;
    let reply = book(&service, CONNECTED, time, |body| {
        body["service_center_id"] = json!("center-bonn");
        body["customer_notes"] = json!("It rattles.");
        body["anomaly_event_id"] = json!(anomaly);
    })
    .await;
    let location = reply.headers["location"].to_str().unwrap().to_owned();
    let booking = reply.expect(201);
    assert_eq!(location, path(&booking));
    let mut expected = booking.clone();
    for (field, value) in [
        ("vehicle_id", json!(CONNECTED)),
        ("service_center_id", json!("center-bonn")),
        ("appointment_time", json!(time)),
        ("status", json!("PENDING")),
        ("customer_notes", json!("It rattles.")),
        ("anomaly_event_id", json!(anomaly)),
        ("outcome", json!(null)),
    ] {
        expected[field] = value;
    }
    assert_eq!(booking, expected);
    assert_eq!(booking.as_object().unwrap().len(), 9);
    assert!(booking["created_at"].as_str().unwrap().ends_with('Z'));
    for name in ["service", "engineer", "admin"] {
        let reader = world.log_in(name).await;
        assert_eq!(reader.get(&location).await.expect(200), booking);
    }

    let entries = audited(&world, &booking).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["action"], "booking.create");
    assert_eq!(entries[0]["vehicle_id"], CONNECTED);
    assert_eq!(
        entries[0]["user_id"],
        "00000000-0000-0000-0000-000000000004"
    );
    let details = json!({
        "service_center_id": "center-bonn", "appointment_time": time,
        "anomaly_event_id": anomaly,
    });
    assert_eq!(entries[0]["details"], details);
}

#[tokio::test]
async fn returns_the_appointment_time_as_stored() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let time = moment(&world, "3 days").await + TimeDelta::nanoseconds(123_456_789);
    let booking = book(&service, CONNECTED, time, |_| {}).await.expect(201);
    assert_eq!(booking["appointment_time"], json!(time.trunc_subsecs(6)));
    assert_eq!(booking["service_center_id"], json!(null));
    assert_eq!(booking["customer_notes"], json!(null));
    assert_eq!(booking["anomaly_event_id"], json!(null));
    assert_eq!(service.get(&path(&booking)).await.expect(200), booking);
}

#[tokio::test]
async fn validates_every_field_of_a_new_booking() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    for (field, bad) in [
        ("vehicle_id", json!("x")),
        ("vehicle_id", json!(null)),
        ("service_center_id", json!("")),
        ("service_center_id", json!("é".repeat(101))),
        ("service_center_id", json!("a\0b")),
        ("service_center_id", json!(" ")),
        ("service_center_id", json!(" center-bonn")),
        ("service_center_id", json!("center-bonn ")),
        ("service_center_id", json!("center-bonn\u{a0}")),
        ("service_center_id", json!("\u{3000}center-bonn")),
        ("service_center_id", json!("center-bonn\n")),
        ("service_center_id", json!("center\tbonn")),
        ("service_center_id", json!("center\u{7f}bonn")),
        ("service_center_id", json!("center\u{85}bonn")),
        ("service_center_id", json!(7)),
        ("appointment_time", json!(null)),
        ("appointment_time", json!("tomorrow")),
        ("appointment_time", json!("2027-01-01")),
        ("appointment_time", json!(1_900_000_000)),
        ("appointment_time", json!(moment(&world, "0 seconds").await)),
        ("appointment_time", json!(moment(&world, "-1 minute").await)),
        (
            "appointment_time",
            json!(moment(&world, "2 years 1 minute").await),
        ),
        ("appointment_time", json!("9999-12-31T23:59:59Z")),
        ("customer_notes", json!("é".repeat(2001))),
        ("customer_notes", json!("a\0b")),
        ("customer_notes", json!([])),
        ("anomaly_event_id", json!("x")),
        ("status", json!("CONFIRMED")),
        ("outcome", json!("other")),
        ("id", json!(CONNECTED)),
    ] {
        let reply = book(&service, CONNECTED, time, |body| body[field] = bad).await;
        reply.expect_bad_field(422, "validation_failed", &format!("/{field}"));
    }
    for field in ["vehicle_id", "appointment_time"] {
        let reply = book(&service, CONNECTED, time, |body| {
            body.as_object_mut().unwrap().remove(field);
        });
        let pointer = format!("/{field}");
        reply
            .await
            .expect_bad_field(422, "validation_failed", &pointer);
    }
    for (center, notes, interval) in [
        ("é".repeat(100), "é".repeat(2000), "2 years -1 minute"),
        ("c".to_owned(), String::new(), "1 minute"),
        ("c d".to_owned(), "\t".to_owned(), "1 hour"),
    ] {
        let time = moment(&world, interval).await;
        let booking = book(&service, CONNECTED, time, |body| {
            body["service_center_id"] = json!(center);
            body["customer_notes"] = json!(notes);
        });
        let booking = booking.await.expect(201);
        assert_eq!(booking["service_center_id"], json!(center));
        assert_eq!(booking["customer_notes"], json!(notes));
    }
}

#[tokio::test]
async fn a_booking_requires_an_existing_vehicle() {
    let world = World::start().await;
    let (service, admin) = (world.log_in("service").await, world.log_in("admin").await);
    let time = moment(&world, "1 day").await;
    let unknown = "00000000-0000-0000-0000-00000000ffff";
    book(&service, unknown, time, |_| {})
        .await
        .expect_bad_field(404, "not_found", "/vehicle_id");
    let missing = format!("{BOOKINGS}/{unknown}");
    let change = json!({ "status": "CONFIRMED" });
    service.get(&missing).await.expect_problem(404, "not_found");
    service
        .patch(&missing, &change)
        .await
        .expect_problem(404, "not_found");

    let booking = book(&service, OFFLINE, time, |_| {}).await.expect(201);
    let vehicle = format!("/api/v1/vehicles/{OFFLINE}");
    admin.delete(&vehicle).await.expect(204);
    service
        .get(&path(&booking))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn serializes_a_change_and_the_deletion_of_its_vehicle() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let time = moment(&world, "1 day").await;
    let sql = world.sql().await;
    for (vin, is_changed_first) in [("RACE1", true), ("RACE2", false)] {
        let body = json!({ "vin": vin, "make": "BMW", "model": "X5", "year": 2022 });
        let vehicle = admin.post("/api/v1/vehicles", &body).await.expect(201);
        let vehicle = vehicle["vehicle_id"].as_str().unwrap();
        let anomaly = anomaly(&world, vehicle).await;
        let booking = book(&admin, vehicle, time, |body| {
            body["service_center_id"] = json!("center-bonn");
            body["anomaly_event_id"] = json!(anomaly);
        });
        let booking = booking.await.expect(201);
        change_to(&admin, &booking, "CONFIRMED").await;
        let change = json!({ "status": "COMPLETED", "outcome": "confirmed" });
        let (booking, vehicle) = (path(&booking), format!("/api/v1/vehicles/{vehicle}"));
        let (patch, delete) = (admin.patch(&booking, &change), admin.delete(&vehicle));
        let (first, second, expected) = if is_changed_first {
            (patch.boxed_local(), delete.boxed_local(), [200, 204])
        } else {
            (delete.boxed_local(), patch.boxed_local(), [204, 404])
        };

        // Both wait for the lock of the vehicle and acquire it in order of arrival.
        let lock = format!("BEGIN; SELECT FROM vehicles WHERE vin = '{vin}' FOR UPDATE");
        sql.batch_execute(&lock).await.unwrap();
        let second = async {
            world.wait_until_blocked(1).await;
            second.await
        };
        let release = async {
            world.wait_until_blocked(2).await;
            sql.batch_execute("COMMIT").await.unwrap();
        };
        let (first, second, ()) = join3(first, second, release).await;
        assert_eq!([first, second].map(|reply| reply.status.as_u16()), expected);
        admin.get(&booking).await.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn lists_bookings_by_appointment_with_filters() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let mut made = Vec::new();
    for (vehicle, interval) in [
        (CONNECTED, "5 days"),
        (OFFLINE, "3 days"),
        (CONNECTED, "4 days"),
    ] {
        let time = moment(&world, interval).await;
        made.push(book(&service, vehicle, time, |_| {}).await.expect(201));
    }
    change_to(&service, &made[1], "CONFIRMED").await;
    let [third, first, second] = [0, 1, 2].map(|number| made[number]["id"].clone());
    // The bookings of the seeds are in the past.
    for (query, total, expected) in [
        ("?offset=3", 6, vec![&first, &second, &third]),
        ("?status=PENDING", 2, vec![&second, &third]),
        ("?status=CONFIRMED", 1, vec![&first]),
        ("?status=CANCELLED", 0, vec![]),
        ("?status=PENDING&limit=1", 2, vec![&second]),
        ("?status=PENDING&limit=1&offset=1", 2, vec![&third]),
        ("?offset=6", 6, vec![]),
        (
            &format!("?vehicle_id={CONNECTED}"),
            2,
            vec![&second, &third],
        ),
        (
            &format!("?vehicle_id={CONNECTED}&status=CONFIRMED"),
            0,
            vec![],
        ),
    ] {
        let reply = service.get(&format!("{BOOKINGS}{query}")).await;
        assert_eq!(reply.headers["x-total-count"], total.to_string(), "{query}");
        let list = reply.expect(200);
        let list = list.as_array().unwrap();
        let ids: Vec<&Value> = list.iter().map(|booking| &booking["id"]).collect();
        assert_eq!(ids, expected, "{query}");
    }
    let list = service.get(&format!("{BOOKINGS}?offset=3&limit=1")).await;
    let link = list.headers["link"].to_str().unwrap().to_owned();
    assert!(
        link.contains("offset=4") && link.contains("offset=2"),
        "{link}"
    );
    let one = service.get(&path(&made[1])).await.expect(200);
    assert_eq!(list.expect(200), json!([one]));
}

#[tokio::test]
async fn names_the_invalid_query_parameter() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    for (query, status, code, pointer) in [
        ("?status=pending", 400, "malformed_request", "/status"),
        ("?vehicle_id=x", 400, "malformed_request", "/vehicle_id"),
        ("?limit=0", 422, "validation_failed", "/limit"),
        ("?limit=101", 422, "validation_failed", "/limit"),
        ("?offset=-1", 422, "validation_failed", "/offset"),
    ] {
        let reply = service.get(&format!("{BOOKINGS}{query}")).await;
        reply.expect_bad_field(status, code, pointer);
    }
    service
        .get(&format!("{BOOKINGS}?limit=100"))
        .await
        .expect(200);
    service
        .get(&format!("{BOOKINGS}?center=x"))
        .await
        .expect_problem(400, "malformed_request");
    service
        .get(&format!("{BOOKINGS}/x"))
        .await
        .expect_problem(400, "malformed_request");
}

#[tokio::test]
async fn allows_only_valid_state_changes() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    let states = ["PENDING", "CONFIRMED", "COMPLETED", "CANCELLED"];
    for from in states {
        for to in states {
            let booking = book(&service, CONNECTED, time, |_| {}).await.expect(201);
            change_to(&service, &booking, from).await;
            let change = json!({ "status": to });
            let reply = service.patch(&path(&booking), &change).await;
            let may = matches!(
                (from, to),
                ("PENDING", "CONFIRMED" | "CANCELLED") | ("CONFIRMED", "COMPLETED" | "CANCELLED")
            );
            let after = if may {
                assert_eq!(reply.expect(200)["status"], to, "{from} to {to}");
                to
            } else {
                reply.expect_bad_field(409, "conflict", "/status");
                from
            };
            let found = service.get(&path(&booking)).await.expect(200);
            assert_eq!(found["status"], after, "{from} to {to}");
        }
    }
}

#[tokio::test]
async fn changes_and_audits_only_the_given_fields() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let (time, later) = (
        moment(&world, "1 day").await,
        moment(&world, "2 years -1 minute").await,
    );
    let made = book(&admin, OWNED, time, |body| {
        body["customer_notes"] = json!("It rattles.");
    });
    let mut expected = made.await.expect(201);
    let notes = "é".repeat(2000);
    for (change, details) in [
        (
            json!({ "status": "CONFIRMED", "appointment_time": later, "customer_notes": notes }),
            json!({
                "status": { "from": "PENDING", "to": "CONFIRMED" },
                "appointment_time": { "from": time, "to": later },
                "customer_notes": "changed",
            }),
        ),
        (
            json!({ "customer_notes": null }),
            json!({ "customer_notes": "changed" }),
        ),
        (json!({ "appointment_time": later }), json!({})),
        (
            json!({ "status": "COMPLETED", "customer_notes": "" }),
            json!({
                "status": { "from": "CONFIRMED", "to": "COMPLETED" },
                "customer_notes": "changed",
            }),
        ),
        (
            json!({ "customer_notes": "Thank you." }),
            json!({ "customer_notes": "changed" }),
        ),
    ] {
        for (field, value) in change.as_object().unwrap() {
            expected[field] = value.clone();
        }
        let after = admin.patch(&path(&expected), &change).await.expect(200);
        assert_eq!(after, expected, "{change}");
        assert_eq!(admin.get(&path(&expected)).await.expect(200), expected);
        let entries = audited(&world, &expected).await;
        let entry = entries.last().unwrap();
        assert_eq!(entry["action"], "booking.update");
        assert_eq!(entry["vehicle_id"], OWNED);
        assert_eq!(entry["user_id"], "00000000-0000-0000-0000-000000000001");
        assert_eq!(entry["details"], details);
    }
}

#[tokio::test]
async fn rejects_an_invalid_change_without_effect() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    let before = book(&service, CONNECTED, time, |_| {}).await.expect(201);
    let past = moment(&world, "-1 minute").await;
    let too_late = moment(&world, "2 years 1 minute").await;
    for (change, pointer) in [
        (json!({}), ""),
        (json!({ "status": null }), "/status"),
        (json!({ "status": "confirmed" }), "/status"),
        (json!({ "status": 1 }), "/status"),
        (json!({ "appointment_time": past }), "/appointment_time"),
        (json!({ "appointment_time": too_late }), "/appointment_time"),
        (json!({ "appointment_time": "soon" }), "/appointment_time"),
        (
            json!({ "status": "CANCELLED", "appointment_time": time }),
            "/appointment_time",
        ),
        (
            json!({ "customer_notes": "é".repeat(2001) }),
            "/customer_notes",
        ),
        (json!({ "customer_notes": "a\0b" }), "/customer_notes"),
        (json!({ "outcome": "confirmed" }), "/outcome"),
        (json!({ "outcome": "fine" }), "/outcome"),
        (
            json!({ "status": "CONFIRMED", "outcome": "other" }),
            "/outcome",
        ),
        (
            json!({ "status": "CANCELLED", "outcome": "other" }),
            "/outcome",
        ),
        (
            json!({ "service_center_id": "center-bonn" }),
            "/service_center_id",
        ),
        (json!({ "vehicle_id": OWNED }), "/vehicle_id"),
        (json!({ "anomaly_event_id": OWNED }), "/anomaly_event_id"),
    ] {
        let reply = service.patch(&path(&before), &change).await;
        reply.expect_bad_field(422, "validation_failed", pointer);
    }
    assert_eq!(service.get(&path(&before)).await.expect(200), before);
    assert_eq!(audited(&world, &before).await.len(), 1);
    for end in ["COMPLETED", "CANCELLED"] {
        let ended = book(&service, CONNECTED, time, |_| {}).await.expect(201);
        change_to(&service, &ended, end).await;
        let change = json!({ "appointment_time": time });
        service
            .patch(&path(&ended), &change)
            .await
            .expect_bad_field(409, "conflict", "/appointment_time");
    }
}
