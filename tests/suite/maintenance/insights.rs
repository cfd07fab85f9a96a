//! Insights, their derivation and the precision of detectors.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OWNED, Reply, World};
use tokio_postgres::types::ToSql;

use crate::agents::policy::audited;

const INSIGHTS: &str = "/api/v1/insights";
const SUMMARY: &str = "/api/v1/insights/summary";
const DETECTORS: &str = "/api/v1/insights/detectors";
const DERIVE: &str = "/api/v1/insights/derive";

fn pump() -> Value {
    json!({ "component_name": "oil pump", "failure_pattern": "It leaks." })
}

async fn create(client: &Client, change: impl FnOnce(&mut Value)) -> Reply {
    let mut body = pump();
    change(&mut body);
    client.post(INSIGHTS, &body).await
}

/// Inserts a closed episode of the component and code for each outcome.
async fn failures(world: &World, vehicle_id: &str, fault: (&str, &str), outcomes: &[&str]) {
    let sql = "WITH event AS (
                   INSERT INTO anomaly_events (vehicle_id, anomaly_type, severity)
                   VALUES ($1::text::uuid, 'emissions', 'Medium') RETURNING id, vehicle_id)
               INSERT INTO anomaly_episodes
                   (anomaly_event_id, vehicle_id, rule_name, component_name, dtc_code, outcome,
                    closed_at)
               SELECT id, vehicle_id, 'catalyst-efficiency', $2, $3, $4, now() FROM event";
    let client = world.sql().await;
    for outcome in outcomes {
        let values: [&(dyn ToSql + Sync); 4] = [&vehicle_id, &fault.0, &fault.1, outcome];
        client.execute(sql, &values).await.unwrap();
    }
}

fn total(reply: &Reply) -> &str {
    reply.headers["x-total-count"].to_str().unwrap()
}

#[tokio::test]
async fn creates_and_returns_an_insight() {
    let world = World::start().await;
    let manufacturer = world.log_in("manufacturer").await;
    let mut full = pump();
    full["affected_batch"] = json!("Tesla Model 3 2023");
    full["recommendation"] = json!("Replace the gasket.");
    full["confidence_score"] = json!(0.25);
    let reply = manufacturer.post(INSIGHTS, &full).await;
    let location = reply.headers["location"].to_str().unwrap().to_owned();
    let insight = reply.expect(201);
    let id = insight["id"].as_str().unwrap();
    assert_eq!(location, format!("{INSIGHTS}/{id}"));
    for (field, value) in full.as_object().unwrap() {
        assert_eq!(&insight[field], value, "{field}");
    }
    let engineer = world.log_in("engineer").await;
    assert_eq!(engineer.get(&location).await.expect(200), insight);

    let entries = audited(&world, "insight.create").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["entity_type"], "insight");
    assert_eq!(entries[0]["entity_id"], id);
    assert_eq!(
        entries[0]["user_id"],
        "00000000-0000-0000-0000-000000000005"
    );
    assert_eq!(entries[0]["details"], full);
}

#[tokio::test]
async fn omitted_insight_fields_are_null() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for body in [
        pump(),
        json!({
            "component_name": "oil pump", "failure_pattern": "It leaks.", "affected_batch": null,
            "recommendation": null, "confidence_score": null,
        }),
    ] {
        let insight = admin.post(INSIGHTS, &body).await.expect(201);
        for field in ["affected_batch", "recommendation", "confidence_score"] {
            assert_eq!(insight[field], Value::Null, "{field}");
        }
    }
}

#[tokio::test]
async fn validates_every_field_of_a_new_insight() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for (field, limit) in [
        ("component_name", 200),
        ("failure_pattern", 2000),
        ("affected_batch", 200),
        ("recommendation", 2000),
    ] {
        for good in ["x".to_owned(), "é".repeat(limit)] {
            let insight = create(&admin, |body| body[field] = json!(good)).await;
            assert_eq!(insight.expect(201)[field], good);
        }
        for bad in [
            json!(""),
            json!("é".repeat(limit + 1)),
            json!(5),
            json!("a\0b"),
        ] {
            create(&admin, |body| body[field] = bad)
                .await
                .expect_bad_field(422, "validation_failed", &format!("/{field}"));
        }
    }
    for good in [json!(0), json!(1), json!(1.0), json!(0.5)] {
        let insight = create(&admin, |body| body["confidence_score"] = good.clone()).await;
        assert_eq!(
            insight.expect(201)["confidence_score"].as_f64(),
            good.as_f64()
        );
    }
    for (field, bad) in [
        ("confidence_score", json!(-0.001)),
        ("confidence_score", json!(1.001)),
        ("confidence_score", json!("1")),
        ("component_name", Value::Null),
        ("failure_pattern", Value::Null),
        ("id", json!(CONNECTED)),
        ("created_at", json!("2026-01-01T00:00:00Z")),
    ] {
        create(&admin, |body| body[field] = bad)
            .await
            .expect_bad_field(422, "validation_failed", &format!("/{field}"));
    }
    for required in ["component_name", "failure_pattern"] {
        let without = |body: &mut Value| drop(body.as_object_mut().unwrap().remove(required));
        create(&admin, without).await.expect_bad_field(
            422,
            "validation_failed",
            &format!("/{required}"),
        );
    }
}

#[tokio::test]
async fn lists_insights_newest_first_with_filters() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let mut ids = Vec::new();
    for component in ["a&b", "oil pump", "a&b"] {
        let insight = create(&admin, |body| body["component_name"] = json!(component)).await;
        ids.insert(0, insight.expect(201)["id"].clone());
    }
    let service = world.log_in("service").await;
    let listed = async |query: &str| {
        let reply = service.get(&format!("{INSIGHTS}{query}")).await;
        let total = total(&reply).to_owned();
        let insights = reply.expect(200);
        let ids = insights
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].clone());
        (ids.collect::<Vec<_>>(), total)
    };
    // Two older ones are seeds.
    let (all, count) = listed("").await;
    assert_eq!((&all[..3], all.len(), count.as_str()), (&ids[..], 5, "5"));
    let (page, count) = listed("?limit=2&offset=1").await;
    assert_eq!((&page[..], count.as_str()), (&ids[1..3], "5"));
    let (found, count) = listed("?component_name=a%26b").await;
    assert_eq!(
        (found, count.as_str()),
        (vec![ids[0].clone(), ids[2].clone()], "2")
    );
    assert_eq!(
        listed("?component_name=nothing").await,
        (vec![], "0".to_owned())
    );
    let link = service
        .get(&format!("{INSIGHTS}?component_name=a%26b&limit=1"))
        .await;
    let link = link.headers["link"].to_str().unwrap().to_owned();
    assert!(
        link.contains("component_name=a%26b") && link.contains("rel=\"next\""),
        "{link}"
    );
    for (query, status, code) in [
        ("?limit=0", 422, "validation_failed"),
        ("?limit=101", 422, "validation_failed"),
        ("?offset=-1", 422, "validation_failed"),
        ("?component=x", 400, "malformed_request"),
    ] {
        for path in [INSIGHTS, SUMMARY] {
            let refused = service.get(&format!("{path}{query}")).await;
            refused.expect_problem(status, code);
        }
    }
    let unknown = service.get(&format!("{INSIGHTS}/{CONNECTED}")).await;
    unknown.expect_problem(404, "not_found");
    let malformed = service.get(&format!("{INSIGHTS}/5")).await;
    malformed.expect_problem(400, "malformed_request");
}

#[tokio::test]
async fn counts_failures_by_component() {
    let world = World::start().await;
    let manufacturer = world.log_in("manufacturer").await;
    failures(
        &world,
        CONNECTED,
        ("catalyst", "P0420"),
        &["confirmed", "other"],
    )
    .await;
    failures(
        &world,
        OWNED,
        ("cell", "P0A7F"),
        &["confirmed", "confirmed"],
    )
    .await;
    failures(&world, OWNED, ("hose", "P0217"), &["no_fault_found"]).await;
    create(&manufacturer, |body| body["component_name"] = json!("cell"))
        .await
        .expect(201);
    let component = |name: &str, confirmed_failures: i64, insights: i64| {
        json!({
            "component_name": name, "confirmed_failures": confirmed_failures, "insights": insights,
        })
    };
    let expected = [
        component("cell", 2, 1),
        component("battery module", 1, 1),
        component("coolant pump", 1, 1),
        component("catalyst", 1, 0),
    ];
    let reply = manufacturer.get(SUMMARY).await;
    assert_eq!(total(&reply), "4");
    assert_eq!(reply.expect(200), json!(expected));
    let reply = manufacturer
        .get(&format!("{SUMMARY}?limit=1&offset=1"))
        .await;
    assert_eq!(total(&reply), "4");
    assert_eq!(reply.expect(200), json!(expected[1..2]));
}

#[tokio::test]
async fn reports_the_precision_of_detectors() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let of = async |rule: &str| {
        let detectors = engineer.get(DETECTORS).await.expect(200);
        let mut detectors = detectors.as_array().unwrap().iter().cloned();
        detectors.find(|one| one["rule"] == rule).unwrap()
    };
    let command_id = engineer.read_dtc().await;
    engineer.ended(&command_id).await;
    world.wait_for_detection().await;
    let fresh = json!({
        "rule": "catalyst-efficiency", "anomaly_type": "emissions", "severity": "Medium",
        "component_name": "catalytic converter", "is_active": true, "detected": 1, "open": 1,
        "confirmed": 0, "no_fault_found": 0, "other": 0, "count": 0,
        "precision": null,
    });
    assert_eq!(of("catalyst-efficiency").await, fresh);
    assert_eq!(of("brakes").await["detected"], 0);

    let outcomes = ["confirmed", "confirmed", "no_fault_found", "other"];
    failures(&world, OWNED, ("catalytic converter", "P0420"), &outcomes).await;
    let record = of("catalyst-efficiency").await;
    let expected = [
        ("detected", 5),
        ("open", 1),
        ("confirmed", 2),
        ("no_fault_found", 1),
        ("count", 4),
    ];
    for (field, count) in expected {
        assert_eq!(record[field], count, "{field}");
    }
    assert_eq!(
        (&record["other"], &record["precision"]),
        (&json!(1), &json!(0.5))
    );

    // A rule that was removed from the file keeps its statistics.
    let sql = "UPDATE anomaly_episodes SET rule_name = 'a former rule'
               WHERE rule_name = 'lost-communication'";
    world.sql().await.batch_execute(sql).await.unwrap();
    let detectors = engineer.get(DETECTORS).await.expect(200);
    let detectors = detectors.as_array().unwrap();
    assert_eq!(detectors[0]["rule"], "catalyst-efficiency");
    let past = detectors.last().unwrap();
    assert_eq!(past["rule"], "a former rule");
    assert_eq!(
        (&past["is_active"], &past["detected"]),
        (&json!(false), &json!(1))
    );
    for field in ["anomaly_type", "severity", "component_name", "precision"] {
        assert_eq!(past[field], Value::Null, "{field}");
    }
}

#[tokio::test]
async fn derives_insights_from_confirmed_failures() {
    let world = World::with(|settings| settings.maintenance.insight_threshold = 2).await;
    let manufacturer = world.log_in("manufacturer").await;
    failures(
        &world,
        CONNECTED,
        ("catalyst", "P0420"),
        &["confirmed", "other"],
    )
    .await;
    failures(&world, OWNED, ("catalyst", "P0430"), &["confirmed"]).await;
    let empty = manufacturer.request(Method::POST, DERIVE);
    assert_eq!(manufacturer.send(empty).await.expect(200), json!([]));
    let derive = async |body: Value| manufacturer.post(DERIVE, &body).await;
    assert_eq!(derive(json!({})).await.expect(200), json!([]));
    assert_eq!(
        derive(json!({ "threshold": 2 })).await.expect(200),
        json!([])
    );

    failures(&world, OWNED, ("catalyst", "P0430"), &["confirmed"]).await;
    let derived = derive(json!({})).await.expect(201);
    let derived = derived.as_array().unwrap();
    assert_eq!(derived.len(), 1);
    assert_eq!(derived[0]["component_name"], "catalyst");
    assert_eq!(derived[0]["affected_batch"], "Tesla Model 3 2023");
    assert_eq!(
        derived[0]["failure_pattern"],
        "P0420, P0430: 3 confirmed failures on 2 vehicles"
    );
    assert_eq!(derived[0]["confidence_score"], 0.75);
    let listed = manufacturer.get(INSIGHTS).await.expect(200);
    assert_eq!(listed[0], derived[0]);

    assert_eq!(derive(json!({})).await.expect(200), json!([]));
    assert_eq!(
        derive(json!({ "threshold": 0 })).await.expect(200),
        json!([])
    );
    let entries = audited(&world, "insight.derive").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["entity_id"], derived[0]["id"]);
    assert_eq!(
        entries[0]["user_id"],
        "00000000-0000-0000-0000-000000000005"
    );
}

#[tokio::test]
async fn concurrent_derivations_create_each_insight_once() {
    let world = World::start().await;
    let beside = world.beside(|_| {}).await;
    let here = world.log_in("admin").await;
    let there = here.at(beside.address());
    failures(&world, CONNECTED, ("catalyst", "P0420"), &["confirmed"]).await;
    failures(
        &world,
        CONNECTED,
        ("cell", "P0A7F"),
        &["confirmed", "confirmed"],
    )
    .await;
    let nothing = json!({});
    let calls = (0..10).map(|index| {
        let client = if index % 2 == 0 { &here } else { &there };
        client.post(DERIVE, &nothing)
    });
    let mut created = Vec::new();
    for reply in join_all(calls).await {
        let insights = reply.body.as_array().unwrap().clone();
        assert_eq!(
            reply.status.as_u16(),
            if insights.is_empty() { 200 } else { 201 }
        );
        created.extend(insights);
    }
    assert_eq!(created.len(), 2);
    assert_eq!(total(&here.get(INSIGHTS).await), "4");
}

#[tokio::test]
async fn bounds_the_threshold() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    failures(&world, CONNECTED, ("catalyst", "P0420"), &["confirmed"]).await;
    for (good, status) in [(1_000_000, 200), (1, 200), (0, 201)] {
        admin
            .post(DERIVE, &json!({ "threshold": good }))
            .await
            .expect(status);
    }
    failures(&world, CONNECTED, ("catalyst", "P0420"), &["confirmed"]).await;
    let by_default = admin.post(DERIVE, &json!({ "threshold": null })).await;
    assert_eq!(by_default.expect(201).as_array().unwrap().len(), 1);
    for bad in [
        json!(-1),
        json!(1_000_001),
        json!(0.5),
        json!("1"),
        json!(10_000_000_000_u64),
    ] {
        admin
            .post(DERIVE, &json!({ "threshold": bad }))
            .await
            .expect_bad_field(422, "validation_failed", "/threshold");
    }
    let unknown = admin.post(DERIVE, &json!({ "component_name": "x" })).await;
    unknown.expect_bad_field(422, "validation_failed", "/component_name");
}

#[tokio::test]
async fn rejects_insight_permissions_for_a_key_restricted_to_vehicles() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for permission in ["insights.read", "insights.record"] {
        let body = json!({
            "name": "fleet", "role": "manufacturer", "permissions": [permission],
            "vehicle_ids": [CONNECTED], "expires_in_days": 1,
        });
        admin
            .post("/api/v1/service-accounts", &body)
            .await
            .expect_bad_field(422, "validation_failed", "/permissions/0");
    }
}
