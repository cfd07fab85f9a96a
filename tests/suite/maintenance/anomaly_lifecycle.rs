//! One vehicle from a trouble code to an insight for its manufacturer.

use serde_json::{Value, json};
use sovd_tests::{Client, OWNED, World};

use crate::maintenance::bookings::{book, moment, path};

const CUSTOMER: &str = "00000000-0000-0000-0000-000000000003";

/// Reads the faults of the customer's vehicle and waits for the detection run.
async fn read_faults(world: &World, client: &Client) -> String {
    let command = json!({
        "vehicle_id": OWNED, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    let command = client.post("/api/v1/commands", &command).await.expect(201);
    let id = command["command_id"].as_str().unwrap().to_owned();
    assert_eq!(client.ended(&id).await["status"], "completed");
    world.wait_for_detection().await;
    id
}

/// Returns the anomalies of the customer's vehicle with this code, newest first.
async fn anomalies_of(client: &Client, dtc_code: &str) -> Vec<Value> {
    let list = format!("/api/v1/vehicles/{OWNED}/anomalies?limit=100");
    let list = client.get(&list).await.expect(200);
    let list = list.as_array().unwrap().clone().into_iter();
    list.filter(|anomaly| anomaly["source"]["dtc_code"] == dtc_code)
        .collect()
}

/// Returns the detector of a rule.
async fn detector(client: &Client, rule: &Value) -> Value {
    let detectors = client.get("/api/v1/insights/detectors").await.expect(200);
    let mut found = detectors.as_array().unwrap().iter();
    found.find(|one| one["rule"] == *rule).unwrap().clone()
}

#[tokio::test]
async fn a_trouble_code_becomes_an_insight() {
    let world = World::start().await;
    let (engineer, customer) = (
        world.log_in("engineer").await,
        world.log_in("customer").await,
    );
    let (service, manufacturer) = (
        world.log_in("service").await,
        world.log_in("manufacturer").await,
    );

    let command_id = read_faults(&world, &engineer).await;
    let found = anomalies_of(&customer, "P0420").await;
    let [anomaly] = &found[..] else {
        panic!("{found:?}")
    };
    let source = &anomaly["source"];
    assert_eq!(source["command_id"], command_id);
    let responses = format!("/api/v1/commands/{command_id}/responses");
    let responses = engineer.get(&responses).await.expect(200);
    assert_eq!(source["response_id"], responses[0]["response_id"]);
    assert_eq!(anomaly["outcome"], Value::Null);
    let before = detector(&engineer, &source["rule"]).await;
    assert_eq!(
        (&before["open"], &before["precision"]),
        (&json!(1), &Value::Null)
    );

    let id = anomaly["id"].as_str().unwrap();
    let anomaly_path = format!("/api/v1/anomalies/{id}");
    let diagnosis = json!({
        "diagnosis_text": "The catalytic converter is worn out.", "confidence_score": 0.9,
    });
    let path_of_diagnoses = format!("{anomaly_path}/diagnoses");
    engineer
        .post(&path_of_diagnoses, &diagnosis)
        .await
        .expect(201);
    let seen = customer.get(&anomaly_path).await.expect(200);
    assert_eq!(
        seen["diagnoses"][0]["diagnosis_text"],
        diagnosis["diagnosis_text"]
    );

    let time = moment(&world, "30 days").await;
    let booking = book(&customer, OWNED, time, |body| {
        body["service_center_id"] = json!("center-berlin");
        body["anomaly_event_id"] = json!(id);
        body["customer_notes"] = json!("I need a car meanwhile.");
    });
    let booking = booking.await.expect(201);
    assert_eq!(booking["status"], "PENDING");
    let booking = path(&booking);
    let confirmed = json!({ "status": "CONFIRMED" });
    service.patch(&booking, &confirmed).await.expect(200);
    let completed = json!({ "status": "COMPLETED", "outcome": "confirmed" });
    let completed = service.patch(&booking, &completed).await.expect(200);
    assert_eq!(completed["outcome"], "confirmed");
    assert_eq!(customer.get(&booking).await.expect(200), completed);

    let closed = customer.get(&anomaly_path).await.expect(200);
    assert_eq!(closed["outcome"], "confirmed");
    assert!(closed["closed_at"].is_string());
    let after = detector(&manufacturer, &source["rule"]).await;
    assert_eq!(
        (&after["open"], &after["confirmed"], &after["precision"]),
        (&json!(0), &json!(1), &json!(1.0))
    );

    let derived = manufacturer
        .post("/api/v1/insights/derive", &json!({ "threshold": 0 }))
        .await;
    assert!(derived.status.is_success(), "{}", derived.body);
    let [insight] = &derived.body.as_array().unwrap()[..] else {
        panic!("{}", derived.body)
    };
    assert_eq!(insight["component_name"], anomaly["component_name"]);
    assert_eq!(insight["affected_batch"], "Tesla Model 3 2023");
    assert_eq!(insight["confidence_score"], 1.0);
    let listed = engineer.get("/api/v1/insights").await.expect(200);
    assert_eq!(listed[0], *insight);

    // The vehicle still reports the fault, so a new episode begins.
    read_faults(&world, &engineer).await;
    let found = anomalies_of(&customer, "P0420").await;
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["outcome"], Value::Null);

    let sql = "SELECT action FROM audit_logs
               WHERE subject_vehicle_id::text = $1 AND action NOT LIKE 'command.%'
               ORDER BY timestamp, position";
    let rows = world.sql().await.query(sql, &[&OWNED]).await.unwrap();
    let trail: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    for action in [
        "anomaly.detect",
        "anomaly.diagnose",
        "booking.create",
        "booking.update",
    ] {
        assert!(trail.contains(&action.to_owned()), "{trail:?}");
    }
    let sql = "SELECT user_id::text FROM audit_logs WHERE action = 'booking.create'";
    let row = world.sql().await.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), CUSTOMER);
}

#[tokio::test]
async fn ten_concurrent_reads_of_a_code_create_one_anomaly() {
    let world = World::start().await;
    let second = world.beside(|_| {}).await;
    let engineer = world.log_in("engineer").await;
    let nodes = [engineer.clone(), engineer.at(second.address())];
    let reads = (0..10).map(|number| read_faults(&world, &nodes[number % 2]));
    futures_util::future::join_all(reads).await;
    read_faults(&world, &engineer).await;
    for code in ["P0420", "U0100"] {
        assert_eq!(anomalies_of(&engineer, code).await.len(), 1, "{code}");
    }
}
