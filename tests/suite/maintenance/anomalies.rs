use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, OWNED, Reply, World};

pub(crate) const ANOMALIES: &str = "/api/v1/anomalies";
pub(crate) const NOTHING: &str = "00000000-0000-0000-0000-00000000ffff";
/// The newest anomaly of the seeds, open.
pub(crate) const OPEN: &str = "00000000-0000-0000-0000-000000000205";
/// The oldest anomaly of the seeds, confirmed.
const CLOSED: &str = "00000000-0000-0000-0000-000000000201";

fn worn_brakes() -> Value {
    json!({ "vehicle_id": CONNECTED, "anomaly_type": "brakes", "severity": "Medium" })
}

pub(crate) async fn report(client: &Client, change: impl FnOnce(&mut Value)) -> Reply {
    let mut body = worn_brakes();
    change(&mut body);
    client.post(ANOMALIES, &body).await
}

pub(crate) fn worn_pads() -> Value {
    json!({ "diagnosis_text": "The rear brake pads are worn.", "confidence_score": 0.9 })
}

pub(crate) fn of_vehicle(vehicle_id: &str) -> String {
    format!("/api/v1/vehicles/{vehicle_id}/anomalies")
}

pub(crate) fn of(anomaly_id: &str) -> String {
    format!("{ANOMALIES}/{anomaly_id}")
}

pub(crate) fn diagnoses(anomaly_id: &str) -> String {
    format!("{ANOMALIES}/{anomaly_id}/diagnoses")
}

/// Returns the last digits of each id in a list.
pub(crate) async fn listed(client: &Client, path: &str) -> Vec<String> {
    let list = client.get(path).await.expect(200);
    let ids = list.as_array().unwrap().iter();
    ids.map(|anomaly| anomaly["id"].as_str().unwrap()[33..].to_owned())
        .collect()
}

/// Returns the audit entries about anomalies with this result, oldest first.
pub(crate) async fn audited(world: &World, result: &str) -> Vec<Value> {
    world.wait_for_refusals().await;
    let sql = "SELECT to_jsonb(audit_logs) FROM audit_logs
               WHERE action LIKE 'anomaly.%' AND result = $1 ORDER BY timestamp, log_id";
    let rows = world.sql().await.query(sql, &[&result]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn reports_and_diagnoses_an_anomaly() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let reply = report(&service, |body| {
        body["sensor_snapshot"] = json!({ "pad_thickness_mm": 3.1 });
        body["rul_prediction"] = json!(60.5);
        body["component_name"] = json!("brake pads");
        body["detected_at"] = json!("2026-03-01T12:00:00.123456Z");
    })
    .await;
    let location = reply.headers["location"].to_str().unwrap().to_owned();
    let anomaly = reply.expect(201);
    let id = anomaly["id"].as_str().unwrap();
    assert_eq!(location, of(id));
    let expected = json!({
        "id": id, "vehicle_id": CONNECTED, "detected_at": "2026-03-01T12:00:00.123456Z",
        "anomaly_type": "brakes", "severity": "Medium",
        "sensor_snapshot": { "pad_thickness_mm": 3.1 }, "rul_prediction": 60.5,
        "component_name": "brake pads", "source": null, "outcome": null, "closed_at": null,
    });
    assert_eq!(anomaly, expected);

    let reply = service.post(&diagnoses(id), &worn_pads()).await;
    assert_eq!(reply.headers["location"].to_str().unwrap(), diagnoses(id));
    let first = reply.expect(201);
    assert_eq!(first["anomaly_event_id"], id);
    assert_eq!(first["diagnosis_text"], "The rear brake pads are worn.");
    assert_eq!(first["confidence_score"], 0.9);
    assert!(first["created_at"].as_str().unwrap().ends_with('Z'));
    let second = service.post(&diagnoses(id), &worn_pads()).await.expect(201);

    let engineer = world.log_in("engineer").await;
    let mut whole = expected.clone();
    whole["diagnoses"] = json!([second, first]);
    assert_eq!(engineer.get(&location).await.expect(200), whole);
    let list = engineer.get(&diagnoses(id)).await;
    assert_eq!(list.headers["x-total-count"], "2");
    assert_eq!(list.expect(200), whole["diagnoses"]);
    for path in [
        of_vehicle(CONNECTED),
        format!("{ANOMALIES}?vehicle_id={CONNECTED}"),
    ] {
        let list = engineer.get(&path).await;
        assert_eq!(list.headers["x-total-count"], "1");
        assert_eq!(list.expect(200), json!([expected]));
    }

    let entries = audited(&world, "done").await;
    let actions: Vec<&Value> = entries.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(
        actions,
        ["anomaly.report", "anomaly.diagnose", "anomaly.diagnose"]
    );
    for entry in &entries {
        assert_eq!(entry["entity_type"], "anomaly");
        assert_eq!(entry["entity_id"], id);
        assert_eq!(entry["vehicle_id"], CONNECTED);
        assert_eq!(entry["user_id"], "00000000-0000-0000-0000-000000000004");
    }
    let details = json!({
        "anomaly_type": "brakes", "severity": "Medium", "rul_prediction": 60.5,
        "detected_at": "2026-03-01T12:00:00.123456Z", "component_name": "brake pads",
    });
    assert_eq!(entries[0]["details"], details);
    let details = json!({ "diagnosis_id": first["id"], "confidence_score": 0.9 });
    assert_eq!(entries[1]["details"], details);
}

#[tokio::test]
async fn omitted_report_fields_are_null_and_the_time_is_now() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let body = json!({ "anomaly_type": "brakes", "severity": "Low" });
    let earlier = report(&engineer, |_| {}).await.expect(201);
    let reply = engineer.post(&of_vehicle(OFFLINE), &body).await;
    let location = reply.headers["location"].to_str().unwrap().to_owned();
    let anomaly = reply.expect(201);
    assert_eq!(anomaly["vehicle_id"], OFFLINE);
    assert_eq!(anomaly["sensor_snapshot"], Value::Null);
    assert_eq!(anomaly["rul_prediction"], Value::Null);
    assert_eq!(anomaly["component_name"], Value::Null);
    assert!(anomaly["detected_at"].as_str() > earlier["detected_at"].as_str());
    let mut whole = anomaly.clone();
    whole["diagnoses"] = json!([]);
    assert_eq!(engineer.get(&location).await.expect(200), whole);
    assert_eq!(engineer.get(ANOMALIES).await.expect(200)[0], anomaly);
}

#[tokio::test]
async fn an_anomaly_shows_its_source_and_its_outcome() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let command_id = engineer.read_dtc().await;
    engineer.ended(&command_id).await;
    world.wait_for_detection().await;
    let sql = format!(
        "INSERT INTO anomaly_episodes
             (anomaly_event_id, vehicle_id, rule_name, component_name, dtc_code, command_id, response_id)
         SELECT '{OPEN}', '{OWNED}', 'battery-cells', 'battery', 'P0A80', command_id, response_id
         FROM responses WHERE command_id = '{command_id}' AND is_final"
    );
    world.sql().await.batch_execute(&sql).await.unwrap();
    let open = engineer.get(&of(OPEN)).await.expect(200);
    let responses = format!("/api/v1/commands/{command_id}/responses");
    let responses = engineer.get(&responses).await.expect(200);
    let last = responses.as_array().unwrap().last().unwrap();
    let source = json!({
        "rule": "battery-cells", "dtc_code": "P0A80",
        "command_id": command_id, "response_id": last["response_id"],
    });
    assert_eq!(open["source"], source);
    assert_eq!(open["component_name"], "battery");
    assert_eq!(open["outcome"], Value::Null);
    assert_eq!(open["closed_at"], Value::Null);
    assert_eq!(open["diagnoses"].as_array().unwrap().len(), 1);
    let closed = engineer.get(&of(CLOSED)).await.expect(200);
    assert_eq!(closed["source"], Value::Null);
    assert_eq!(closed["component_name"], "battery module");
    assert_eq!(closed["outcome"], "confirmed");
    assert!(closed["closed_at"].as_str() > closed["detected_at"].as_str());
}

#[tokio::test]
async fn applies_filters_to_the_list() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let third = engineer
        .get(&of("00000000-0000-0000-0000-000000000203"))
        .await
        .expect(200);
    let moment = third["detected_at"].as_str().unwrap();
    for base in [ANOMALIES.to_owned(), of_vehicle(OWNED)] {
        for (query, expected) in [
            ("", &["205", "204", "203", "202", "201"][..]),
            ("?severity=Medium", &["205", "202"]),
            ("?severity=Critical", &["203"]),
            ("?anomaly_type=battery", &["205", "201"]),
            ("?anomaly_type=Battery", &[]),
            ("?anomaly_type=%25", &[]),
            ("?severity=Medium&anomaly_type=battery", &["205"]),
            (&format!("?start_date={moment}"), &["205", "204", "203"]),
            (&format!("?end_date={moment}"), &["203", "202", "201"]),
            (&format!("?start_date={moment}&end_date={moment}"), &["203"]),
            ("?start_date=2999-01-01T00:00:00Z", &[]),
        ] {
            let found = listed(&engineer, &format!("{base}{query}")).await;
            let ends: Vec<&str> = found.iter().map(String::as_str).collect();
            assert_eq!(ends, expected, "{base}{query}");
        }
    }
    for (vehicle_id, expected) in [(OWNED, 5), (CONNECTED, 0), (NOTHING, 0)] {
        let found = listed(&engineer, &format!("{ANOMALIES}?vehicle_id={vehicle_id}")).await;
        assert_eq!(found.len(), expected);
    }
}

#[tokio::test]
async fn pages_lists_and_links_to_neighboring_pages() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for path in [ANOMALIES.to_owned(), of_vehicle(OWNED)] {
        let reply = engineer
            .get(&format!(
                "{path}?limit=2&offset=1&end_date=2999-01-01T00:00:00Z"
            ))
            .await;
        assert_eq!(reply.headers["x-total-count"], "5");
        let link = reply.headers["link"].to_str().unwrap().to_owned();
        let expected = format!(
            "<{path}?end_date=2999-01-01T00%3A00%3A00Z&limit=2&offset=3>; rel=\"next\", \
             <{path}?end_date=2999-01-01T00%3A00%3A00Z&limit=2&offset=0>; rel=\"prev\""
        );
        assert_eq!(link, expected);
        assert_eq!(
            listed(&engineer, &format!("{path}?limit=2&offset=1")).await,
            ["204", "203"]
        );
        assert_eq!(
            listed(&engineer, &format!("{path}?offset=4")).await,
            ["201"]
        );
        assert_eq!(
            listed(&engineer, &format!("{path}?offset=5")).await,
            Vec::<String>::new()
        );
    }
    for number in 1..=101 {
        let body = json!({ "diagnosis_text": number.to_string(), "confidence_score": 1 });
        engineer.post(&diagnoses(OPEN), &body).await.expect(201);
    }
    let whole = engineer.get(&of(OPEN)).await.expect(200);
    let newest: Vec<&Value> = whole["diagnoses"].as_array().unwrap().iter().collect();
    assert_eq!(newest.len(), 100);
    assert_eq!(newest[0]["diagnosis_text"], "101");
    assert_eq!(newest[99]["diagnosis_text"], "2");
    let rest = engineer
        .get(&format!("{}?limit=100&offset=100", diagnoses(OPEN)))
        .await;
    assert_eq!(rest.headers["x-total-count"], "102");
    let prev = format!("<{}?limit=100&offset=0>; rel=\"prev\"", diagnoses(OPEN));
    assert_eq!(rest.headers["link"].to_str().unwrap(), prev);
    let rest = rest.expect(200);
    assert_eq!(rest[0]["diagnosis_text"], "1");
    assert_eq!(rest.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn returns_404_for_unknown_anomalies_and_vehicles() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for path in [of(NOTHING), diagnoses(NOTHING), of_vehicle(NOTHING)] {
        admin.get(&path).await.expect_problem(404, "not_found");
    }
    let reply = admin.post(&diagnoses(NOTHING), &worn_pads()).await;
    reply.expect_problem(404, "not_found");
    let reply = report(&admin, |body| body["vehicle_id"] = json!(NOTHING)).await;
    reply.expect_bad_field(404, "not_found", "/vehicle_id");
    let body = json!({ "anomaly_type": "brakes", "severity": "Low" });
    let reply = admin.post(&of_vehicle(NOTHING), &body).await;
    // The body has no field for the vehicle.
    assert_eq!(reply.body["errors"], Value::Null);
    reply.expect_problem(404, "not_found");
    assert!(audited(&world, "done").await.is_empty());
    assert!(audited(&world, "refused").await.is_empty());
}

#[tokio::test]
async fn accepts_concurrent_reports_and_diagnoses() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let (body, path) = (worn_pads(), diagnoses(OPEN));
    let posts = (0..10).map(|_| engineer.post(&path, &body));
    let reports = (0..10).map(|_| report(&engineer, |_| {}));
    let (diagnosed, reported) =
        futures_util::future::join(join_all(posts), join_all(reports)).await;
    for reply in diagnosed.into_iter().chain(reported) {
        reply.expect(201);
    }
    assert_eq!(engineer.get(&path).await.headers["x-total-count"], "11");
    assert_eq!(listed(&engineer, &of_vehicle(CONNECTED)).await.len(), 10);
    assert_eq!(audited(&world, "done").await.len(), 20);
}

#[tokio::test]
async fn deleting_a_vehicle_deletes_anomalies_but_not_audit_entries() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let made = report(&admin, |_| {}).await.expect(201);
    let id = made["id"].as_str().unwrap();
    admin.post(&diagnoses(id), &worn_pads()).await.expect(201);
    let vehicle = format!("/api/v1/vehicles/{CONNECTED}");
    admin.delete(&vehicle).await.expect(204);
    for path in [of(id), diagnoses(id), of_vehicle(CONNECTED)] {
        admin.get(&path).await.expect_problem(404, "not_found");
    }
    let trail = format!("/api/v1/audit-logs?entity_type=anomaly&vehicle_id={CONNECTED}");
    assert_eq!(admin.get(&trail).await.headers["x-total-count"], "2");
}
