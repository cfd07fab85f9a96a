//! Access to anomalies by role and key.

use serde_json::{Value, json};
use sovd_tests::{CONNECTED, OFFLINE, OWNED, World};

use crate::{
    agents::policy::{allowing, machine_as},
    maintenance::anomalies::{
        ANOMALIES, OPEN, audited, diagnoses, listed, of, of_vehicle, report, worn_pads,
    },
};

#[tokio::test]
async fn manufacturers_and_customers_only_read() {
    let world = World::start().await;
    for role in ["manufacturer", "customer"] {
        let reader = world.log_in(role).await;
        assert_eq!(listed(&reader, ANOMALIES).await.len(), 5);
        assert_eq!(listed(&reader, &of_vehicle(OWNED)).await.len(), 5);
        reader.get(&of(OPEN)).await.expect(200);
        reader.get(&diagnoses(OPEN)).await.expect(200);
        let body = json!({ "anomaly_type": "brakes", "severity": "Low" });
        for refused in [
            report(&reader, |body| body["vehicle_id"] = json!(OWNED)).await,
            reader.post(&of_vehicle(OWNED), &body).await,
            reader.post(&diagnoses(OPEN), &worn_pads()).await,
        ] {
            refused.expect_problem(403, "forbidden");
        }
    }
    assert!(audited(&world, "done").await.is_empty());
}

#[tokio::test]
async fn conceals_anomalies_of_other_vehicles_from_customers() {
    let world = World::start().await;
    let (engineer, customer) = (
        world.log_in("engineer").await,
        world.log_in("customer").await,
    );
    let hidden = report(&engineer, |_| {}).await.expect(201);
    let hidden = hidden["id"].as_str().unwrap();
    for path in [of(hidden), diagnoses(hidden), of_vehicle(CONNECTED)] {
        customer.get(&path).await.expect_problem(404, "not_found");
    }
    for query in ["", "?severity=Medium", "?anomaly_type=brakes"] {
        let found = customer.get(&format!("{ANOMALIES}{query}")).await;
        let shown = found.headers["x-total-count"].clone();
        let found = found.expect(200);
        assert_eq!(shown, found.as_array().unwrap().len().to_string());
        assert!(!found.to_string().contains(CONNECTED), "{found}");
    }
    let elsewhere = format!("{ANOMALIES}?vehicle_id={CONNECTED}");
    let elsewhere = customer.get(&elsewhere).await;
    assert_eq!(elsewhere.headers["x-total-count"], "0");
    assert_eq!(elsewhere.expect(200), json!([]));

    let entries = audited(&world, "refused").await;
    let named: Vec<[&Value; 3]> = entries
        .iter()
        .map(|entry| [&entry["action"], &entry["entity_type"], &entry["entity_id"]])
        .collect();
    let (reading, hidden) = (json!("anomaly.read"), json!(hidden));
    let (anomaly, vehicle, connected) = (json!("anomaly"), json!("vehicle"), json!(CONNECTED));
    let of_anomaly = [&reading, &anomaly, &hidden];
    assert_eq!(
        named,
        [of_anomaly, of_anomaly, [&reading, &vehicle, &connected]]
    );
    for entry in &entries {
        assert_eq!(entry["user_id"], "00000000-0000-0000-0000-000000000003");
    }
    assert_eq!(entries[0]["vehicle_id"], CONNECTED);

    let sold = json!({ "owner_id": null });
    let admin = world.log_in("admin").await;
    let owned = format!("/api/v1/vehicles/{OWNED}");
    admin.patch(&owned, &sold).await.expect(200);
    for path in [of(OPEN), of_vehicle(OWNED)] {
        customer.get(&path).await.expect_problem(404, "not_found");
    }
    assert!(listed(&customer, ANOMALIES).await.is_empty());
}

#[tokio::test]
async fn restricts_a_key_to_the_anomalies_of_its_vehicles() {
    let world = allowing(&["brake-monitor:anomalies.record"]).await;
    let admin = world.log_in("admin").await;
    let hidden = report(&admin, |_| {}).await.expect(201);
    let hidden = hidden["id"].as_str().unwrap();
    let account = json!({
        "name": "brake-monitor", "role": "engineer", "vehicle_ids": [OFFLINE],
        "permissions": ["anomalies.read", "anomalies.record"], "expires_in_days": 1,
    });
    let machine = machine_as(&world, account).await;

    let shown = report(&machine, |body| body["vehicle_id"] = json!(OFFLINE)).await;
    let shown = shown.expect(201);
    let id = shown["id"].as_str().unwrap();
    machine.post(&diagnoses(id), &worn_pads()).await.expect(201);
    assert_eq!(machine.get(ANOMALIES).await.expect(200), json!([shown]));
    machine
        .get(&of(hidden))
        .await
        .expect_problem(404, "not_found");
    let reply = machine.post(&diagnoses(hidden), &worn_pads()).await;
    reply.expect_problem(404, "not_found");
    let reply = report(&machine, |_| {}).await;
    reply.expect_bad_field(404, "not_found", "/vehicle_id");
    machine
        .get(&of_vehicle(CONNECTED))
        .await
        .expect_problem(404, "not_found");

    assert_eq!(
        admin.get(&of_vehicle(CONNECTED)).await.headers["x-total-count"],
        "1"
    );
    assert_eq!(
        admin.get(&diagnoses(hidden)).await.headers["x-total-count"],
        "0"
    );
    let entries = audited(&world, "refused").await;
    let actions: Vec<&Value> = entries.iter().map(|entry| &entry["action"]).collect();
    let expected = [
        "anomaly.read",
        "anomaly.diagnose",
        "anomaly.report",
        "anomaly.read",
    ];
    assert_eq!(actions, expected);
}
