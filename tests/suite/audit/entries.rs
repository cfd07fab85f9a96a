use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, World, within};

const LOGS: &str = "/api/v1/audit-logs";

/// More entries about a vehicle than an export reads at once, some with the same timestamp.
const MANY: &str = "
    INSERT INTO audit_logs (action, entity_type, vehicle_id, details, user_agent, timestamp)
    SELECT 'test', 'many', '00000000-0000-0000-0000-000000000101', jsonb_build_object('n', n),
           '=cmd()', timestamptz '2026-01-01' + interval '1 s' * (n / 3)
    FROM generate_series(1, 1234) n";

async fn actions(client: &Client, query: &str) -> Vec<String> {
    let list = client.get(&format!("{LOGS}{query}")).await.expect(200);
    let entries = list["audit_logs"].as_array().unwrap();
    assert_eq!(list["total"], entries.len(), "{query}");
    let action = |entry: &Value| entry["action"].as_str().unwrap().to_owned();
    entries.iter().map(action).collect()
}

/// Downloads an export.
async fn export(client: &Client, query: &str) -> (reqwest::header::HeaderMap, String) {
    let request = client.request(Method::GET, &format!("{LOGS}/export{query}"));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    (response.headers().clone(), response.text().await.unwrap())
}

#[tokio::test]
async fn lists_entries_newest_first() {
    let world = World::with(|settings| settings.audit.seal_ms = 10).await;
    let engineer = world.log_in("engineer").await;
    let command_id = engineer.read_dtc().await;
    engineer.ended(&command_id).await;
    world.wait_for_detection().await;
    let admin = world.log_in("admin").await;
    let expected = [
        "auth.login",
        "anomaly.detect",
        "anomaly.detect",
        "anomaly.detect",
        "command.complete",
        "command.submit",
        "auth.login",
    ];
    assert_eq!(actions(&admin, "").await, expected);
    let entry = within("the entry to be sealed", async {
        loop {
            let query = format!("{LOGS}?action=command.submit");
            let list = admin.get(&query).await.expect(200);
            if list["audit_logs"][0]["position"].is_i64() {
                return list["audit_logs"][0].clone();
            }
        }
    })
    .await;
    let fields: BTreeSet<&str> = entry
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "action",
        "command_id",
        "details",
        "entity_id",
        "entity_type",
        "hash",
        "ip_address",
        "log_id",
        "position",
        "request_id",
        "result",
        "timestamp",
        "user_agent",
        "user_id",
        "vehicle_id",
    ];
    assert_eq!(fields, BTreeSet::from(expected));
    assert_eq!(entry["command_id"], command_id);
    assert_eq!(entry["entity_id"], command_id);
    assert_eq!(entry["vehicle_id"], CONNECTED);
    assert_eq!(entry["result"], "done");
    assert_eq!(entry["ip_address"], "127.0.0.1");
    assert_eq!(entry["position"], 2);
    assert_eq!(entry["hash"].as_str().unwrap().len(), 64);
    assert!(entry["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn filters_match_entries_of_deleted_objects() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let command_id = engineer.read_dtc().await;
    engineer.ended(&command_id).await;
    world.wait_for_detection().await;
    let admin = world.log_in("admin").await;
    let user_id = engineer.get("/api/v1/auth/me").await.expect(200)["user_id"].clone();
    let user_id = user_id.as_str().unwrap();
    let (submit, complete, login) = ("command.submit", "command.complete", "auth.login");
    let detect = "anomaly.detect";
    let whole = vec![detect, detect, detect, complete, submit];
    for deletion in [
        "",
        "DELETE FROM users WHERE username = 'engineer'; DELETE FROM vehicles",
    ] {
        world.sql().await.batch_execute(deletion).await.unwrap();
        for (query, expected) in [
            (format!("?user_id={user_id}"), vec![submit, login]),
            (format!("?vehicle_id={CONNECTED}"), whole.clone()),
            (format!("?command_id={command_id}"), whole.clone()),
            (format!("?command_id={CONNECTED}"), vec![]),
            ("?action=auth.login".to_owned(), vec![login, login]),
            ("?action=auth".to_owned(), vec![]),
            ("?entity_type=command".to_owned(), vec![complete, submit]),
            ("?end_date=2026-01-01T00:00:00Z".to_owned(), vec![]),
            (
                "?start_date=2026-01-01T00:00:00Z&entity_type=command".to_owned(),
                vec![complete, submit],
            ),
            (
                format!("?user_id={user_id}&action=auth.login&limit=1"),
                vec![login],
            ),
        ] {
            assert_eq!(
                actions(&admin, &query).await,
                expected,
                "{query} {deletion}"
            );
        }
    }
}

#[tokio::test]
async fn an_invalid_query_names_the_parameter() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for path in ["", "/export"] {
        let first = if path.is_empty() { "?" } else { "?format=csv&" };
        for (query, pointer) in [
            ("user_id=me", "/user_id"),
            ("vehicle_id=1", "/vehicle_id"),
            ("command_id=x", "/command_id"),
            ("start_date=today", "/start_date"),
            ("action=a%00b", "/action"),
        ] {
            let path = format!("{LOGS}{path}{first}{query}");
            admin
                .get(&path)
                .await
                .expect_bad_field(400, "malformed_request", pointer);
        }
        let path = format!("{LOGS}{path}{first}");
        admin
            .get(&format!("{path}end_date=%2B10000-01-01T00:00:00Z"))
            .await
            .expect_bad_field(422, "validation_failed", "/end_date");
        admin
            .get(&format!("{path}user=me"))
            .await
            .expect_problem(400, "malformed_request");
    }
    for (query, pointer) in [
        ("?limit=0", "/limit"),
        ("?limit=101", "/limit"),
        ("?offset=-1", "/offset"),
    ] {
        admin.get(&format!("{LOGS}{query}")).await.expect_bad_field(
            422,
            "validation_failed",
            pointer,
        );
    }
    admin
        .get(&format!("{LOGS}?limit=100&offset=0"))
        .await
        .expect(200);
    admin
        .get(&format!("{LOGS}/export?format=xml"))
        .await
        .expect_bad_field(400, "malformed_request", "/format");
    let problem = admin
        .get(&format!("{LOGS}/export"))
        .await
        .expect_problem(400, "malformed_request");
    assert!(
        problem["detail"].as_str().unwrap().contains("format"),
        "{problem}"
    );
}

#[tokio::test]
async fn pages_have_totals_and_links() {
    let world = World::start().await;
    world.sql().await.batch_execute(MANY).await.unwrap();
    let admin = world.log_in("admin").await;
    let reply = admin
        .get(&format!("{LOGS}?entity_type=many&limit=2&offset=1"))
        .await;
    assert_eq!(reply.headers["x-total-count"], "1234");
    let link = reply.headers["link"].to_str().unwrap().to_owned();
    assert!(link.contains("offset=3>; rel=\"next\""), "{link}");
    let list = reply.expect(200);
    assert_eq!(
        (&list["total"], &list["limit"], &list["offset"]),
        (&json!(1234), &json!(2), &json!(1))
    );
    assert_eq!(list["audit_logs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn requires_an_admin() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for path in [LOGS.to_owned(), format!("{LOGS}/export?format=csv")] {
        engineer.get(&path).await.expect_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn an_ndjson_export_contains_every_entry() {
    let world = World::start().await;
    let sql = world.sql().await;
    sql.batch_execute(MANY).await.unwrap();
    let admin = world.log_in("admin").await;
    let query = format!("?format=ndjson&vehicle_id={CONNECTED}&start_date=2026-01-01T00:00:01Z");
    let (headers, text) = export(&admin, &query).await;
    assert_eq!(headers["content-type"], "application/x-ndjson");
    assert_eq!(headers["cache-control"], "no-store");
    let disposition = headers["content-disposition"].to_str().unwrap();
    assert!(
        disposition.starts_with("attachment; filename=\"audit-logs-2"),
        "{disposition}"
    );
    assert!(disposition.ends_with("Z.ndjson\""), "{disposition}");
    assert!(text.ends_with('\n'));
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let stored = "SELECT log_id::text, details::text FROM audit_logs
                  WHERE entity_type = 'many' AND timestamp >= '2026-01-01T00:00:01Z'
                  ORDER BY timestamp DESC, log_id DESC";
    let stored = sql.query(stored, &[]).await.unwrap();
    assert_eq!(stored.len(), 1232);
    assert_eq!(lines.len(), stored.len());
    for (line, row) in lines.iter().zip(stored) {
        assert_eq!(line["log_id"], row.get::<_, &str>(0));
        let details: Value = serde_json::from_str(row.get(1)).unwrap();
        assert_eq!(line["details"], details);
        assert_eq!(line["user_agent"], "=cmd()");
    }
    let listed = admin
        .get(&format!("{LOGS}?entity_type=many&limit=1"))
        .await
        .expect(200);
    assert_eq!(lines[0]["log_id"], listed["audit_logs"][0]["log_id"]);
}

#[tokio::test]
async fn a_csv_export_contains_every_entry_and_no_formula() {
    let world = World::start().await;
    let sql = world.sql().await;
    sql.batch_execute(MANY).await.unwrap();
    let admin = world.log_in("admin").await;
    let (headers, text) = export(&admin, "?format=csv&entity_type=many").await;
    let kind = headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("text/csv"), "{kind}");
    let disposition = headers["content-disposition"].to_str().unwrap();
    assert!(disposition.ends_with("Z.csv\""), "{disposition}");
    let mut rows = text.split_terminator("\r\n");
    assert!(
        rows.next()
            .unwrap()
            .starts_with("log_id,timestamp,user_id,action,result,")
    );
    let stored = "SELECT log_id || ',' ||
                         to_char(timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                         || ',,test,done,many,,' || vehicle_id || ',,\"{\"\"n\"\":' || (details ->> 'n')
                         || '}\",,''=cmd(),,,'
                  FROM audit_logs WHERE entity_type = 'many'
                  ORDER BY timestamp DESC, log_id DESC";
    let stored = sql.query(stored, &[]).await.unwrap();
    assert_eq!(stored.len(), 1234);
    for row in stored {
        let line = rows.next().unwrap();
        // Some entries may be sealed by now.
        let prefix: &str = row.get(0);
        let prefix = prefix.strip_suffix(',').unwrap();
        assert!(line.starts_with(prefix), "{line} {prefix}");
    }
    assert_eq!(rows.next(), None);
}

#[tokio::test]
async fn an_export_is_audited_and_includes_its_own_entry() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let (_, text) = export(&admin, "?format=ndjson").await;
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["action"], "audit.export");
    assert_eq!(first["details"]["format"], "ndjson");
    assert_eq!(text.lines().count(), 2);
    assert_eq!(actions(&admin, "").await, ["audit.export", "auth.login"]);
}

/// An unreadable entry stands in for a database failure.
#[tokio::test]
async fn a_failed_export_ends_with_a_transfer_error() {
    let world = World::start().await;
    let sql = world.sql().await;
    sql.batch_execute(MANY).await.unwrap();
    sql.batch_execute(
        "ALTER TABLE audit_logs DROP CONSTRAINT chk_audit_logs_result;
         INSERT INTO audit_logs (action, entity_type, result, timestamp)
         VALUES ('test', 'many', 'nonsense', '2026-01-01')",
    )
    .await
    .unwrap();
    let admin = world.log_in("admin").await;
    for format in ["csv", "ndjson"] {
        let path = format!("{LOGS}/export?format={format}&entity_type=many");
        let mut response = admin.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let mut received = 0;
        let error = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => received += chunk.len(),
                Ok(None) => panic!("{format} ends without an error"),
                Err(error) => break error,
            }
        };
        assert!(received > 0, "{format}: {error}");
    }
}

/// The session ends on this node or on another one while the client reads slowly.
#[tokio::test]
async fn an_export_is_aborted_when_its_session_ends() {
    // 40 MB, more than the buffers of a connection hold.
    const LARGE: &str = "
        INSERT INTO audit_logs (action, entity_type, details)
        SELECT 'test', 'large', jsonb_build_object('text', repeat('x', 10000))
        FROM generate_series(1, 4000)";
    let world = World::with(|settings| {
        settings.streams.per_user = 1;
        settings.streams.idle_seconds = 3600;
    })
    .await;
    world.sql().await.batch_execute(LARGE).await.unwrap();
    let other = world.beside(|_| {}).await;
    for node in [&world, &other] {
        let admin = world.log_in("admin").await;
        let path = format!("{LOGS}/export?format=ndjson");
        let mut response = admin.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.chunk().await.unwrap().is_some());

        let logout = admin.at(node.address());
        let request = logout.request(Method::POST, "/api/v1/auth/logout");
        logout.send(request).await.expect(200);
        // The slot of the export is free once the server has aborted it.
        let again = world.log_in("admin").await;
        let probe = format!("{LOGS}/export?format=csv&entity_type=none");
        within("the export to be aborted", async {
            while again.get(&probe).await.status == StatusCode::TOO_MANY_REQUESTS {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let end = loop {
            match response.chunk().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        assert!(end.is_err(), "the export ends without an error");
    }
}

#[tokio::test]
async fn exports_count_towards_the_stream_limit() {
    let world = World::with(|settings| settings.streams.per_user = 1).await;
    let admin = world.log_in("admin").await;
    let command_id = admin.read_dtc_offline(600).await;
    let watching = admin.listen(&command_id, None).await;
    assert!(watching.is_ok());
    admin
        .get(&format!("{LOGS}/export?format=csv"))
        .await
        .expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn entries_stay_unsealed_when_sealing_is_disabled() {
    let world = World::with(|settings| settings.audit.seal_ms = 0).await;
    let sealing = World::with(|settings| settings.audit.seal_ms = 1).await;
    let (admin, other) = (world.log_in("admin").await, sealing.log_in("admin").await);
    within("the other process to seal", async {
        loop {
            let list = other.get(LOGS).await.expect(200);
            if list["audit_logs"][0]["hash"].is_string() {
                return;
            }
        }
    })
    .await;
    let list = admin.get(LOGS).await.expect(200);
    assert_eq!(list["audit_logs"][0]["hash"], Value::Null);
}
