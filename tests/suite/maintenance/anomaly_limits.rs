//! Limits of requests about anomalies, at their boundaries.

use serde_json::{Value, json};
use sovd_tests::{CONNECTED, OWNED, World};

use crate::maintenance::anomalies::{
    ANOMALIES, NOTHING, OPEN, audited, diagnoses, listed, of, of_vehicle, report, worn_pads,
};

/// Returns an object of `bytes` bytes as JSON.
fn snapshot(bytes: usize) -> Value {
    let empty = json!({ "note": "" }).to_string().len();
    json!({ "note": "x".repeat(bytes - empty) })
}

#[tokio::test]
async fn validates_every_field_of_a_report() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for (field, bad) in [
        ("vehicle_id", json!("mine")),
        ("vehicle_id", json!(null)),
        ("anomaly_type", json!("")),
        ("anomaly_type", json!("é".repeat(101))),
        ("anomaly_type", json!("a\0b")),
        ("anomaly_type", json!(null)),
        ("severity", json!("")),
        ("severity", json!("low")),
        ("severity", json!("Severe")),
        ("severity", json!("Low\n")),
        ("severity", json!(1)),
        ("sensor_snapshot", json!([])),
        ("sensor_snapshot", json!("{}")),
        ("sensor_snapshot", snapshot(65_537)),
        ("rul_prediction", json!(-0.001)),
        ("rul_prediction", json!("60")),
        ("component_name", json!("")),
        ("component_name", json!("é".repeat(201))),
        ("component_name", json!("a\0b")),
        ("component_name", json!(5)),
        ("detected_at", json!("yesterday")),
        ("detected_at", json!("2026-03-01")),
        ("detected_at", json!("1999-12-31T23:59:59.999999Z")),
        ("detected_at", json!("2000-01-01T00:00:00+00:01")),
        ("detected_at", json!("2999-01-01T00:00:00Z")),
        ("id", json!(NOTHING)),
        ("source", json!(null)),
        ("outcome", json!("confirmed")),
    ] {
        let reply = report(&engineer, |body| body[field] = bad.clone()).await;
        reply.expect_bad_field(422, "validation_failed", &format!("/{field}"));
        let mut body = json!({ "anomaly_type": "brakes", "severity": "Medium" });
        body[field] = bad;
        let reply = engineer.post(&of_vehicle(CONNECTED), &body).await;
        reply.expect_bad_field(422, "validation_failed", &format!("/{field}"));
    }
    for field in ["vehicle_id", "anomaly_type", "severity"] {
        let reply = report(&engineer, |body| {
            body.as_object_mut().unwrap().remove(field);
        });
        let pointer = format!("/{field}");
        reply
            .await
            .expect_bad_field(422, "validation_failed", &pointer);
    }
    let boundless = format!(
        r#"{{"vehicle_id":"{CONNECTED}","anomaly_type":"a","severity":"Low","rul_prediction":1e400}}"#
    );
    let request = engineer.request(reqwest::Method::POST, ANOMALIES);
    let request = request.header("Content-Type", "application/json");
    let reply = engineer.send(request.body(boundless)).await;
    reply.expect_problem(400, "malformed_request");
    assert!(audited(&world, "done").await.is_empty());
    assert_eq!(listed(&engineer, ANOMALIES).await.len(), 5);

    let least = report(&engineer, |body| {
        body["anomaly_type"] = json!("b");
        body["component_name"] = json!("c");
        body["sensor_snapshot"] = json!({});
        body["rul_prediction"] = json!(0);
        body["detected_at"] = json!("2000-01-01T00:00:00Z");
    });
    let least = least.await.expect(201);
    assert_eq!(least["sensor_snapshot"], json!({}));
    assert_eq!(least["rul_prediction"], 0.0);
    assert_eq!(least["component_name"], "c");
    let most = report(&engineer, |body| {
        body["anomaly_type"] = json!("é".repeat(100));
        body["sensor_snapshot"] = snapshot(65_536);
        body["rul_prediction"] = json!(1.7e308);
        body["component_name"] = json!("é".repeat(200));
    });
    let most = most.await.expect(201);
    let whole = engineer
        .get(&of(most["id"].as_str().unwrap()))
        .await
        .expect(200);
    assert_eq!(whole["component_name"], "é".repeat(200));
    for field in ["anomaly_type", "sensor_snapshot", "rul_prediction"] {
        assert_eq!(whole[field], most[field]);
    }
    for severity in ["Low", "Medium", "High", "Critical"] {
        let reply = report(&engineer, |body| body["severity"] = json!(severity)).await;
        assert_eq!(reply.expect(201)["severity"], severity);
    }
}

#[tokio::test]
async fn validates_every_field_of_a_diagnosis() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let diagnose = async |field: &str, value: Value| {
        let mut body = worn_pads();
        body[field] = value;
        engineer.post(&diagnoses(OPEN), &body).await
    };
    for (field, bad) in [
        ("diagnosis_text", json!("")),
        ("diagnosis_text", json!("é".repeat(10_001))),
        ("diagnosis_text", json!("a\0b")),
        ("diagnosis_text", json!(null)),
        ("confidence_score", json!(-0.001)),
        ("confidence_score", json!(1.001)),
        ("confidence_score", json!("1")),
        ("confidence_score", json!(null)),
        ("anomaly_event_id", json!(OPEN)),
    ] {
        let reply = diagnose(field, bad).await;
        reply.expect_bad_field(422, "validation_failed", &format!("/{field}"));
    }
    for field in ["diagnosis_text", "confidence_score"] {
        let mut body = worn_pads();
        body.as_object_mut().unwrap().remove(field);
        let reply = engineer.post(&diagnoses(OPEN), &body).await;
        reply.expect_bad_field(422, "validation_failed", &format!("/{field}"));
    }
    assert_eq!(
        engineer.get(&diagnoses(OPEN)).await.headers["x-total-count"],
        "1"
    );
    for (field, good) in [
        ("diagnosis_text", json!("x")),
        ("diagnosis_text", json!("é".repeat(10_000))),
        ("confidence_score", json!(0)),
        ("confidence_score", json!(1)),
    ] {
        let made = diagnose(field, good.clone()).await.expect(201);
        let newest = engineer.get(&diagnoses(OPEN)).await.expect(200)[0].clone();
        assert_eq!(newest, made);
        assert!(
            made[field] == good || made[field].as_f64() == good.as_f64(),
            "{made}"
        );
    }
}

#[tokio::test]
async fn names_the_invalid_query_parameter() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for base in [ANOMALIES.to_owned(), of_vehicle(OWNED)] {
        for (query, pointer) in [
            ("?severity=low", "/severity"),
            ("?anomaly_type=a%00b", "/anomaly_type"),
            ("?start_date=today", "/start_date"),
            ("?end_date=2026-01-01", "/end_date"),
            ("?limit=ten", "/limit"),
        ] {
            let reply = engineer.get(&format!("{base}{query}")).await;
            reply.expect_bad_field(400, "malformed_request", pointer);
        }
        for (query, pointer) in [
            ("?start_date=%2B10000-01-01T00:00:00Z", "/start_date"),
            ("?end_date=%2B10000-01-01T00:00:00Z", "/end_date"),
        ] {
            let reply = engineer.get(&format!("{base}{query}")).await;
            reply.expect_bad_field(422, "validation_failed", pointer);
        }
    }
    for base in [ANOMALIES.to_owned(), of_vehicle(OWNED), diagnoses(OPEN)] {
        for (query, pointer) in [
            ("?limit=0", "/limit"),
            ("?limit=101", "/limit"),
            ("?offset=-1", "/offset"),
        ] {
            let reply = engineer.get(&format!("{base}{query}")).await;
            reply.expect_bad_field(422, "validation_failed", pointer);
        }
        engineer
            .get(&format!("{base}?limit=100&offset=0"))
            .await
            .expect(200);
        let reply = engineer.get(&format!("{base}?sevrity=Low")).await;
        let problem = reply.expect_problem(400, "malformed_request");
        assert!(
            problem["detail"].as_str().unwrap().contains("sevrity"),
            "{problem}"
        );
    }
    let reply = engineer.get(&format!("{ANOMALIES}?vehicle_id=mine")).await;
    reply.expect_bad_field(400, "malformed_request", "/vehicle_id");
    let reply = engineer
        .get(&format!("{}?vehicle_id={OWNED}", of_vehicle(OWNED)))
        .await;
    reply.expect_problem(400, "malformed_request");
    engineer
        .get(&of("newest"))
        .await
        .expect_bad_field(400, "malformed_request", "/anomaly_id");
}
