use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, Reply, World};

use crate::maintenance::bookings::{anomaly, audited, book, moment, path};

/// Books an appointment of the connected vehicle for an anomaly.
async fn book_for(world: &World, client: &Client, anomaly: &str) -> Reply {
    let time = moment(world, "1 day").await;
    book(client, CONNECTED, time, |body| {
        body["anomaly_event_id"] = json!(anomaly);
    })
    .await
}

/// Returns the episode of an anomaly, or null.
async fn episode(world: &World, anomaly: &str) -> Value {
    let sql = "SELECT to_jsonb(anomaly_episodes) FROM anomaly_episodes
               WHERE anomaly_event_id::text = $1";
    let rows = world.sql().await.query(sql, &[&anomaly]).await.unwrap();
    rows.first().map_or(Value::Null, |row| row.get(0))
}

#[tokio::test]
async fn completing_a_booking_closes_its_anomaly() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    for outcome in ["confirmed", "no_fault_found", "other"] {
        let anomaly = anomaly(&world, CONNECTED).await;
        let booking = book_for(&world, &service, &anomaly).await.expect(201);
        let change = async |change: Value| service.patch(&path(&booking), &change).await;
        // A pending booking cannot be completed.
        change(json!({ "status": "COMPLETED", "outcome": outcome }))
            .await
            .expect_bad_field(409, "conflict", "/status");
        change(json!({ "status": "CONFIRMED" })).await.expect(200);
        change(json!({ "status": "COMPLETED" }))
            .await
            .expect_bad_field(422, "validation_failed", "/outcome");
        assert_eq!(episode(&world, &anomaly).await, Value::Null);
        let completed = change(json!({ "status": "COMPLETED", "outcome": outcome })).await;
        let completed = completed.expect(200);
        assert_eq!(completed["status"], "COMPLETED");
        assert_eq!(completed["outcome"], outcome);
        assert_eq!(completed["anomaly_event_id"], anomaly);
        assert_eq!(service.get(&path(&booking)).await.expect(200), completed);

        let episode = episode(&world, &anomaly).await;
        assert_eq!(episode["outcome"], outcome);
        assert_eq!(episode["vehicle_id"], CONNECTED);
        assert_ne!(episode["closed_at"], Value::Null);
        let entries = audited(&world, &booking).await;
        let details = json!({
            "status": { "from": "CONFIRMED", "to": "COMPLETED" },
            "outcome": { "from": null, "to": outcome },
        });
        assert_eq!(entries.last().unwrap()["details"], details);
        book_for(&world, &service, &anomaly).await.expect_bad_field(
            409,
            "conflict",
            "/anomaly_event_id",
        );
    }
}

#[tokio::test]
async fn completes_a_booking_without_an_anomaly_only_without_an_outcome() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let time = moment(&world, "1 day").await;
    let booking = book(&service, CONNECTED, time, |_| {}).await.expect(201);
    let change = async |change: Value| service.patch(&path(&booking), &change).await;
    change(json!({ "status": "CONFIRMED" })).await.expect(200);
    change(json!({ "status": "COMPLETED", "outcome": "confirmed" }))
        .await
        .expect_bad_field(422, "validation_failed", "/outcome");
    let completed = change(json!({ "status": "COMPLETED" })).await.expect(200);
    assert_eq!(completed["outcome"], Value::Null);
}

#[tokio::test]
async fn completing_fails_if_the_anomaly_is_already_closed() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let anomaly = anomaly(&world, CONNECTED).await;
    let booking = book_for(&world, &service, &anomaly).await.expect(201);
    let confirm = json!({ "status": "CONFIRMED" });
    let confirmed = service.patch(&path(&booking), &confirm).await.expect(200);
    let sql = "INSERT INTO anomaly_episodes (anomaly_event_id, vehicle_id, outcome, closed_at)
               SELECT id, vehicle_id, 'other', now() FROM anomaly_events WHERE id::text = $1";
    let closed = world.sql().await.execute(sql, &[&anomaly]).await;
    assert_eq!(closed.unwrap(), 1);
    let complete = json!({ "status": "COMPLETED", "outcome": "confirmed" });
    service
        .patch(&path(&booking), &complete)
        .await
        .expect_bad_field(409, "conflict", "/outcome");
    assert_eq!(service.get(&path(&booking)).await.expect(200), confirmed);
    assert_eq!(episode(&world, &anomaly).await["outcome"], "other");
}

#[tokio::test]
async fn rejects_an_anomaly_of_another_vehicle() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let elsewhere = anomaly(&world, OFFLINE).await;
    book_for(&world, &service, &elsewhere)
        .await
        .expect_bad_field(422, "validation_failed", "/anomaly_event_id");
    book_for(&world, &service, "00000000-0000-0000-0000-00000000ffff")
        .await
        .expect_bad_field(404, "not_found", "/anomaly_event_id");
}

#[tokio::test]
async fn allows_one_open_booking_per_anomaly() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let anomaly = anomaly(&world, CONNECTED).await;
    for confirms in [false, true] {
        let attempts = (0..5).map(|_| book_for(&world, &service, &anomaly));
        let booking = Reply::won(join_all(attempts).await, 201, "/anomaly_event_id");
        let statuses: &[&str] = if confirms {
            &["CONFIRMED", "CANCELLED"]
        } else {
            &["CANCELLED"]
        };
        for status in statuses {
            book_for(&world, &service, &anomaly).await.expect_bad_field(
                409,
                "conflict",
                "/anomaly_event_id",
            );
            let change = json!({ "status": status });
            service.patch(&path(&booking), &change).await.expect(200);
        }
        assert_eq!(episode(&world, &anomaly).await, Value::Null);
    }
}

#[tokio::test]
async fn one_of_two_concurrent_completions_sets_the_outcome() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    for _ in 0..5 {
        let anomaly = anomaly(&world, CONNECTED).await;
        let booking = book_for(&world, &service, &anomaly).await.expect(201);
        let booking = path(&booking);
        let confirm = json!({ "status": "CONFIRMED" });
        service.patch(&booking, &confirm).await.expect(200);
        let changes = ["confirmed", "other"]
            .map(|outcome| json!({ "status": "COMPLETED", "outcome": outcome }));
        let replies = join_all(changes.iter().map(|change| service.patch(&booking, change))).await;
        let won = Reply::won(replies, 200, "/status");
        assert_eq!(episode(&world, &anomaly).await["outcome"], won["outcome"]);
    }
}
