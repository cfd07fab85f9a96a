use serde_json::{Value, json};
use sovd_tests::World;

use crate::agents::policy::{LOGS, SUSPENSIONS, audited, listed};

fn external_action() -> Value {
    json!({ "agent_name": "line-robot", "action_type": "firmware.flash", "status": "BLOCKED" })
}

#[tokio::test]
async fn records_and_counts_external_activity() {
    let world = World::with(|settings| settings.agents.blocked_attempts = 1).await;
    let admin = world.log_in("admin").await;
    let mut body = external_action();
    body["source_node"] = json!("plant 4");
    body["target_node"] = json!("VIN123456789");
    let recorded = admin.post(LOGS, &body).await.expect(201);
    assert_eq!(listed(&admin, LOGS).await, std::slice::from_ref(&recorded));
    for field in body.as_object().unwrap().keys() {
        assert_eq!(recorded[field], body[field]);
    }
    let mut allowed = external_action();
    allowed["status"] = json!("ALLOWED");
    let allowed = admin.post(LOGS, &allowed).await.expect(201);
    assert_eq!(allowed["source_node"], Value::Null);
    assert!(listed(&admin, SUSPENSIONS).await.is_empty());
    admin.post(LOGS, &external_action()).await.expect(201);
    let suspensions = listed(&admin, SUSPENSIONS).await;
    assert_eq!(suspensions.len(), 1);
    assert_eq!(suspensions[0]["agent_name"], "line-robot");
    assert_eq!(suspensions[0]["action_type"], "firmware.flash");
    assert_eq!(audited(&world, "agent.suspend").await.len(), 1);
    let entries = audited(&world, "agent.record").await;
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[0]["entity_id"], recorded["id"]);
    assert_eq!(entries[0]["details"]["status"], "BLOCKED");
}

#[tokio::test]
async fn validates_every_field_of_a_record() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for (field, good, bad) in [
        ("agent_name", json!("n".repeat(50)), json!("n".repeat(51))),
        ("agent_name", json!("n"), json!("")),
        (
            "action_type",
            json!("a".repeat(100)),
            json!("a".repeat(101)),
        ),
        ("action_type", json!("a"), json!("")),
        (
            "source_node",
            json!("ä".repeat(500)),
            json!("ä".repeat(501)),
        ),
        ("source_node", json!("s"), json!("")),
        (
            "target_node",
            json!("t".repeat(500)),
            json!("t".repeat(501)),
        ),
        ("target_node", json!("t"), json!("")),
        ("status", json!("ALLOWED"), json!("allowed")),
        ("agent_name", json!("n"), Value::Null),
        ("status", json!("BLOCKED"), Value::Null),
    ] {
        let mut body = external_action();
        body[field] = good;
        let recorded = admin.post(LOGS, &body).await.expect(201);
        assert_eq!(recorded[field], body[field]);
        body[field] = bad;
        let refused = admin.post(LOGS, &body).await;
        refused.expect_bad_field(422, "validation_failed", &format!("/{field}"));
    }
    for field in ["agent_name", "action_type", "status"] {
        let mut body = external_action();
        body.as_object_mut().unwrap().remove(field);
        let refused = admin.post(LOGS, &body).await;
        refused.expect_bad_field(422, "validation_failed", &format!("/{field}"));
    }
    let mut body = external_action();
    body["timestamp"] = json!("2020-01-01T00:00:00Z");
    let refused = admin.post(LOGS, &body).await;
    refused.expect_bad_field(422, "validation_failed", "/timestamp");
}

#[tokio::test]
async fn filters_and_pages_the_log() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let fill = "INSERT INTO ueba_logs (agent_name, action_type, status, timestamp)
                SELECT CASE n % 2 WHEN 0 THEN 'even' ELSE 'odd' END, 'count.' || n,
                       CASE n WHEN 3 THEN 'BLOCKED' ELSE 'ALLOWED' END,
                       timestamptz '2026-01-01' + interval '1 s' * n
                FROM generate_series(1, 5) n";
    world.sql().await.execute(fill, &[]).await.unwrap();
    for (query, expected) in [
        ("", vec![5, 4, 3, 2, 1]),
        ("?status=BLOCKED", vec![3]),
        ("?agent_name=odd", vec![5, 3, 1]),
        ("?action_type=count.4", vec![4]),
        ("?start_date=2026-01-01T00:00:04Z", vec![5, 4]),
        ("?end_date=2026-01-01T00:00:02Z", vec![2, 1]),
        ("?agent_name=odd&status=ALLOWED", vec![5, 1]),
        ("?limit=2&offset=1", vec![4, 3]),
        ("?agent_name=unknown", vec![]),
    ] {
        let found = listed(&admin, &format!("{LOGS}{query}")).await;
        let kinds: Vec<&str> = found
            .iter()
            .map(|entry| entry["action_type"].as_str().unwrap())
            .collect();
        let expected: Vec<String> = expected.iter().map(|n| format!("count.{n}")).collect();
        assert_eq!(kinds, expected, "{query}");
    }
    let page = admin.get(&format!("{LOGS}?limit=2")).await;
    assert_eq!(page.headers["x-total-count"], "5");
    assert!(page.headers["link"].to_str().unwrap().contains("next"));
    for list in [LOGS, SUSPENSIONS] {
        for query in ["limit=0", "limit=101", "offset=-1"] {
            let field = format!("/{}", query.split_once('=').unwrap().0);
            let refused = admin.get(&format!("{list}?{query}")).await;
            refused.expect_bad_field(422, "validation_failed", &field);
        }
        let refused = admin.get(&format!("{list}?agent=x")).await;
        refused.expect_problem(400, "malformed_request");
        admin.get(&format!("{list}?limit=100")).await.expect(200);
    }
    for (path, field) in [
        (format!("{LOGS}?status=allowed"), "/status"),
        (format!("{LOGS}?start_date=today"), "/start_date"),
        (format!("{SUSPENSIONS}?is_active=yes"), "/is_active"),
    ] {
        let refused = admin.get(&path).await;
        refused.expect_bad_field(400, "malformed_request", field);
    }
}
