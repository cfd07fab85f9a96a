use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, OFFLINE, World};

const VEHICLES: &str = "/api/v1/vehicles";

async fn vins(client: &Client, query: &str) -> Vec<String> {
    let list = client.get(&format!("{VEHICLES}{query}")).await.expect(200);
    let list = list.as_array().unwrap();
    list.iter()
        .map(|vehicle| vehicle["vin"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn lists_vehicles_as_a_bare_array() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let list = engineer.get(VEHICLES).await.expect(200);
    let one = engineer
        .get(&format!("{VEHICLES}/{CONNECTED}"))
        .await
        .expect(200);
    assert_eq!(list[0], one);
    assert_eq!(list.as_array().unwrap().len(), 3);
    let fields: Vec<&String> = one.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        [
            "connection_status",
            "created_at",
            "last_seen_at",
            "make",
            "metadata",
            "model",
            "owner_id",
            "vehicle_id",
            "vehicle_type",
            "vin",
            "year",
        ]
    );
    assert_eq!(one["metadata"], json!({}));
    assert!(one["created_at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn applies_each_filter() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let (first, second, owned) = (
        "TESTVIN0000000001".to_owned(),
        "TESTVIN0000000002".to_owned(),
        "VIN123456789".to_owned(),
    );
    let all = vec![first.clone(), second.clone(), owned.clone()];
    let customer = "00000000-0000-0000-0000-000000000003";
    for (query, expected) in [
        ("", all.clone()),
        ("?status=connected", vec![first.clone(), owned.clone()]),
        (&format!("?owner_id={customer}"), vec![owned.clone()]),
        (&format!("?owner_id={CONNECTED}"), vec![]),
        ("?status=disconnected", vec![second.clone()]),
        ("?status=error", vec![]),
        ("?search=vin0000000002", vec![second.clone()]),
        ("?search=TESTVIN", vec![first.clone(), second.clone()]),
        ("?search=%25", vec![]),
        ("?search=_", vec![]),
        ("?search=%27%3B--", vec![]),
        ("?make=Tesla", vec![first.clone(), owned.clone()]),
        ("?model=X5&year=2022", vec![second.clone()]),
        ("?year=1999", vec![]),
    ] {
        assert_eq!(vins(&engineer, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn invalid_query_names_the_parameter() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for (query, pointer) in [
        ("?status=flying", "/status"),
        ("?year=soon", "/year"),
        ("?limit=ten", "/limit"),
        ("?search=a%00b", "/search"),
    ] {
        let path = format!("{VEHICLES}{query}");
        engineer
            .get(&path)
            .await
            .expect_bad_field(400, "malformed_request", pointer);
    }
    let problem = engineer
        .get(&format!("{VEHICLES}?serach=x"))
        .await
        .expect_problem(400, "malformed_request");
    assert!(
        problem["detail"].as_str().unwrap().contains("serach"),
        "{problem}"
    );
}

#[tokio::test]
async fn pages_are_bounded_and_linked() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for (query, pointer) in [
        ("?limit=0", "/limit"),
        ("?limit=101", "/limit"),
        ("?offset=-1", "/offset"),
    ] {
        let path = format!("{VEHICLES}{query}");
        engineer
            .get(&path)
            .await
            .expect_bad_field(422, "validation_failed", pointer);
    }
    assert_eq!(vins(&engineer, "?limit=100").await.len(), 3);

    let reply = engineer
        .get(&format!("{VEHICLES}?limit=1&offset=0&search=TEST"))
        .await;
    assert_eq!(reply.headers["x-total-count"], "2");
    let link = reply.headers["link"].to_str().unwrap().to_owned();
    assert_eq!(
        link,
        format!("<{VEHICLES}?search=TEST&limit=1&offset=1>; rel=\"next\"")
    );
    assert_eq!(
        vins(&engineer, "?limit=1&offset=1").await,
        ["TESTVIN0000000002"]
    );
    assert_eq!(vins(&engineer, "?offset=3").await, Vec::<String>::new());
}

#[tokio::test]
async fn status_reports_connection_and_health() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for (id, connection, health) in [
        (CONNECTED, "connected", "ok"),
        (OFFLINE, "disconnected", "unknown"),
    ] {
        let status = engineer
            .get(&format!("{VEHICLES}/{id}/status"))
            .await
            .expect(200);
        assert_eq!(status["connection_status"], connection);
        assert_eq!(status["health"], health);
        assert_ne!(status["last_seen_at"], Value::Null);
    }
}
