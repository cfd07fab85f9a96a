use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, OWNED, Reply, World};

const ANOMALIES: &str = "/api/v1/anomalies";
const NOTHING: &str = "00000000-0000-0000-0000-00000000ffff";
/// The newest of the seeds, a battery's, which nobody has looked at.
const OPEN: &str = "00000000-0000-0000-0000-000000000205";
/// The oldest of the seeds, which a workshop has confirmed.
const CLOSED: &str = "00000000-0000-0000-0000-000000000201";

fn worn_brakes() -> Value {
    json!({ "vehicle_id": CONNECTED, "anomaly_type": "brakes", "severity": "Medium" })
}

async fn report(client: &Client, change: impl FnOnce(&mut Value)) -> Reply {
    let mut body = worn_brakes();
    change(&mut body);
    client.post(ANOMALIES, &body).await
}

fn worn_pads() -> Value {
    json!({ "diagnosis_text": "The rear brake pads are worn.", "confidence_score": 0.9 })
}

fn of_vehicle(vehicle_id: &str) -> String {
    format!("/api/v1/vehicles/{vehicle_id}/anomalies")
}

fn of(anomaly_id: &str) -> String {
    format!("{ANOMALIES}/{anomaly_id}")
}

fn diagnoses(anomaly_id: &str) -> String {
    format!("{ANOMALIES}/{anomaly_id}/diagnoses")
}

/// An object of so many bytes as JSON.
fn snapshot(bytes: usize) -> Value {
    let empty = json!({ "note": "" }).to_string().len();
    json!({ "note": "x".repeat(bytes - empty) })
}

/// The last part of each id in a list.
async fn listed(client: &Client, path: &str) -> Vec<String> {
    let list = client.get(path).await.expect(200);
    let ids = list.as_array().unwrap().iter();
    ids.map(|anomaly| anomaly["id"].as_str().unwrap()[33..].to_owned())
        .collect()
}

/// The lines of the audit trail about anomalies, oldest first.
async fn audited(world: &World, result: &str) -> Vec<Value> {
    let sql = "SELECT to_jsonb(audit_logs) FROM audit_logs
               WHERE action LIKE 'anomaly.%' AND result = $1 ORDER BY timestamp, log_id";
    let rows = world.sql().await.query(sql, &[&result]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn who_reports_an_anomaly_finds_it_again_and_can_diagnose_it() {
    let world = World::start().await;
    let service = world.log_in("service").await;
    let reply = report(&service, |body| {
        body["sensor_snapshot"] = json!({ "pad_thickness_mm": 3.1 });
        body["rul_prediction"] = json!(60.5);
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
        "source": null, "outcome": null, "closed_at": null,
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

    let lines = audited(&world, "done").await;
    let actions: Vec<&Value> = lines.iter().map(|line| &line["action"]).collect();
    assert_eq!(
        actions,
        ["anomaly.report", "anomaly.diagnose", "anomaly.diagnose"]
    );
    for line in &lines {
        assert_eq!(line["entity_type"], "anomaly");
        assert_eq!(line["entity_id"], id);
        assert_eq!(line["vehicle_id"], CONNECTED);
        assert_eq!(line["user_id"], "00000000-0000-0000-0000-000000000004");
    }
    let details = json!({
        "anomaly_type": "brakes", "severity": "Medium", "rul_prediction": 60.5,
        "detected_at": "2026-03-01T12:00:00.123456Z",
    });
    assert_eq!(lines[0]["details"], details);
    let details = json!({ "diagnosis_id": first["id"], "confidence_score": 0.9 });
    assert_eq!(lines[1]["details"], details);
}

#[tokio::test]
async fn what_is_left_out_of_a_report_is_not_known_and_its_time_is_now() {
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
    assert!(anomaly["detected_at"].as_str() > earlier["detected_at"].as_str());
    let mut whole = anomaly.clone();
    whole["diagnoses"] = json!([]);
    assert_eq!(engineer.get(&location).await.expect(200), whole);
    assert_eq!(engineer.get(ANOMALIES).await.expect(200)[0], anomaly);
}

#[tokio::test]
async fn every_field_of_a_report_has_edges() {
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
        body["sensor_snapshot"] = json!({});
        body["rul_prediction"] = json!(0);
        body["detected_at"] = json!("2000-01-01T00:00:00Z");
    });
    let least = least.await.expect(201);
    assert_eq!(least["sensor_snapshot"], json!({}));
    assert_eq!(least["rul_prediction"], 0.0);
    let most = report(&engineer, |body| {
        body["anomaly_type"] = json!("é".repeat(100));
        body["sensor_snapshot"] = snapshot(65_536);
        body["rul_prediction"] = json!(1.7e308);
    });
    let most = most.await.expect(201);
    let whole = engineer
        .get(&of(most["id"].as_str().unwrap()))
        .await
        .expect(200);
    for field in ["anomaly_type", "sensor_snapshot", "rul_prediction"] {
        assert_eq!(whole[field], most[field]);
    }
    for severity in ["Low", "Medium", "High", "Critical"] {
        let reply = report(&engineer, |body| body["severity"] = json!(severity)).await;
        assert_eq!(reply.expect(201)["severity"], severity);
    }
}

#[tokio::test]
async fn every_field_of_a_diagnosis_has_edges() {
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
async fn an_anomaly_tells_where_it_came_from_and_how_it_ended() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let command_id = engineer.read_dtc().await;
    engineer.ended(&command_id).await;
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
        "rule": "battery-cells", "component": "battery", "dtc_code": "P0A80",
        "command_id": command_id, "response_id": last["response_id"],
    });
    assert_eq!(open["source"], source);
    assert_eq!(open["outcome"], Value::Null);
    assert_eq!(open["closed_at"], Value::Null);
    assert_eq!(open["diagnoses"].as_array().unwrap().len(), 1);
    let closed = engineer.get(&of(CLOSED)).await.expect(200);
    assert_eq!(closed["source"], Value::Null);
    assert_eq!(closed["outcome"], "confirmed");
    assert!(closed["closed_at"].as_str() > closed["detected_at"].as_str());
}

#[tokio::test]
async fn filters_narrow_the_list() {
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
            (
                "?severity=&anomaly_type=&start_date=",
                &["205", "204", "203", "202", "201"],
            ),
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
async fn a_bad_query_names_the_parameter() {
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

#[tokio::test]
async fn pages_have_edges_and_neighbours() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for path in [ANOMALIES.to_owned(), of_vehicle(OWNED)] {
        let reply = engineer
            .get(&format!("{path}?limit=2&offset=1&severity="))
            .await;
        assert_eq!(reply.headers["x-total-count"], "5");
        let link = reply.headers["link"].to_str().unwrap().to_owned();
        let expected = format!(
            "<{path}?severity=&limit=2&offset=3>; rel=\"next\", \
             <{path}?severity=&limit=2&offset=0>; rel=\"prev\""
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
async fn what_is_not_there_is_not_found() {
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
    reply.expect_problem(404, "not_found");
    assert!(audited(&world, "done").await.is_empty());
    assert!(audited(&world, "refused").await.is_empty());
}

#[tokio::test]
async fn a_manufacturer_and_a_customer_read_and_do_not_write() {
    let world = World::start().await;
    for who in ["manufacturer", "customer"] {
        let reader = world.log_in(who).await;
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
async fn a_customer_knows_of_no_other_vehicle_s_anomalies() {
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

    let lines = audited(&world, "refused").await;
    let named: Vec<[&Value; 3]> = lines
        .iter()
        .map(|line| [&line["action"], &line["entity_type"], &line["entity_id"]])
        .collect();
    let (reading, hidden) = (json!("anomaly.read"), json!(hidden));
    let (anomaly, vehicle, connected) = (json!("anomaly"), json!("vehicle"), json!(CONNECTED));
    let of_anomaly = [&reading, &anomaly, &hidden];
    assert_eq!(
        named,
        [of_anomaly, of_anomaly, [&reading, &vehicle, &connected]]
    );
    for line in &lines {
        assert_eq!(line["user_id"], "00000000-0000-0000-0000-000000000003");
    }
    assert_eq!(lines[0]["vehicle_id"], CONNECTED);

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
async fn a_key_for_some_vehicles_keeps_to_their_anomalies() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let hidden = report(&admin, |_| {}).await.expect(201);
    let hidden = hidden["id"].as_str().unwrap();
    let account = json!({
        "name": "brake-monitor", "role": "engineer", "vehicle_ids": [OFFLINE],
        "permissions": ["anomalies.read", "anomalies.record"], "expires_in_days": 1,
    });
    let issued = admin
        .post("/api/v1/service-accounts", &account)
        .await
        .expect(201);
    let mut machine = world.stranger();
    machine.token = issued["api_key"].as_str().map(str::to_owned);

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
    let lines = audited(&world, "refused").await;
    let actions: Vec<&Value> = lines.iter().map(|line| &line["action"]).collect();
    let expected = [
        "anomaly.read",
        "anomaly.diagnose",
        "anomaly.report",
        "anomaly.read",
    ];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn many_who_diagnose_and_report_at_once_are_all_heard() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let (body, path) = (worn_pads(), diagnoses(OPEN));
    let diagnosing = (0..10).map(|_| engineer.post(&path, &body));
    let reporting = (0..10).map(|_| report(&engineer, |_| {}));
    let (diagnosed, reported) =
        futures_util::future::join(join_all(diagnosing), join_all(reporting)).await;
    for reply in diagnosed.into_iter().chain(reported) {
        reply.expect(201);
    }
    assert_eq!(engineer.get(&path).await.headers["x-total-count"], "11");
    assert_eq!(listed(&engineer, &of_vehicle(CONNECTED)).await.len(), 10);
    assert_eq!(audited(&world, "done").await.len(), 20);
}

#[tokio::test]
async fn the_anomalies_of_a_deleted_vehicle_are_gone_and_the_trail_stays() {
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
