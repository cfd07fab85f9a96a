use std::collections::BTreeSet;

use serde_json::Value;
use sovd_tests::{CONNECTED, Client, Reply, World};

const COMMANDS: &str = "/api/v1/commands";
const VEHICLES: &str = "/api/v1/vehicles";
const LOGS: &str = "/api/v1/audit-logs";
const ANOMALIES: &str = "/api/v1/anomalies";
/// The command with responses in [`ROWS`].
const COMMAND: &str = "00000000-0000-0000-0000-00000000f001";

/// Twelve rows in each list, four with each time. They can be told from those of the seeds and of the test by
/// the filter in [`lists`].
const ROWS: &str = "
    INSERT INTO vehicles (vin, make, model, year, connection_status)
    SELECT 'PAGED' || lpad((10 * n)::text, 4, '0'), 'Paged', 'X5', 2022, 'connected'
    FROM generate_series(1, 12) n;
    INSERT INTO commands (command_id, user_id, vehicle_id, command_name, command_params, status,
                          submitted_at)
    SELECT lpad(to_hex(61440 + n), 32, '0')::uuid, user_id, '00000000-0000-0000-0000-000000000101',
           'ReadDTC', '{}', 'completed', timestamptz '2026-01-01' + interval '1 s' * (n % 3)
    FROM generate_series(1, 12) n, users WHERE username = 'engineer';
    INSERT INTO responses (command_id, response_payload, sequence_number)
    SELECT '00000000-0000-0000-0000-00000000f001', '{}', n FROM generate_series(1, 12) n;
    INSERT INTO audit_logs (action, entity_type, details, timestamp)
    SELECT 'test', 'paged', '{}', timestamptz '2026-01-01' + interval '1 s' * (n % 3)
    FROM generate_series(1, 12) n;
    INSERT INTO anomaly_events (vehicle_id, anomaly_type, severity, detected_at)
    SELECT '00000000-0000-0000-0000-000000000101', 'paged', 'Low',
           timestamptz '2026-01-01' + interval '1 s' * (n % 3)
    FROM generate_series(1, 12) n;";

/// A row that belongs before the first page of each list, and one that belongs after all rows of [`ROWS`].
const INSERTED: &str = "
    INSERT INTO vehicles (vin, make, model, year, connection_status)
    SELECT vin || count, 'Paged', 'X5', 2022, 'connected'
    FROM (VALUES ('PAGED0000'), ('PAGED9999')) v (vin), (SELECT count(*) FROM vehicles) c;
    INSERT INTO commands (user_id, vehicle_id, command_name, command_params, status, submitted_at)
    SELECT user_id, '00000000-0000-0000-0000-000000000101', 'ReadDTC', '{}', 'completed', at
    FROM users, (VALUES (timestamptz '2001-01-01'), ('2027-01-01')) v (at)
    WHERE username = 'engineer';
    INSERT INTO audit_logs (action, entity_type, details, timestamp)
    VALUES ('test', 'paged', '{}', '2025-01-01'), ('test', 'paged', '{}', '2027-01-01');
    INSERT INTO anomaly_events (vehicle_id, anomaly_type, severity, detected_at)
    VALUES ('00000000-0000-0000-0000-000000000101', 'paged', 'Low', '2025-01-01'),
           ('00000000-0000-0000-0000-000000000101', 'paged', 'Low', '2027-01-01');
    INSERT INTO responses (command_id, response_payload, sequence_number)
    SELECT '00000000-0000-0000-0000-00000000f001', '{}', max(sequence_number) + 1 FROM responses;";

/// The lists with cursors, restricted to [`ROWS`].
fn lists() -> [String; 6] {
    [
        format!("{VEHICLES}?make=Paged"),
        format!("{COMMANDS}?vehicle_id={CONNECTED}&status=completed"),
        format!("{COMMANDS}/{COMMAND}/responses?limit=100"),
        format!("{LOGS}?entity_type=paged"),
        format!("{ANOMALIES}?anomaly_type=paged"),
        format!("{VEHICLES}/{CONNECTED}/anomalies?anomaly_type=paged"),
    ]
}

/// Returns the ids of a page.
fn ids(body: &Value) -> Vec<String> {
    let rows = [&body["commands"], &body["audit_logs"], body]
        .into_iter()
        .find_map(Value::as_array)
        .unwrap();
    let id = |row: &Value| {
        let names = ["response_id", "command_id", "log_id", "id", "vehicle_id"];
        let id = names.iter().find_map(|name| row[name].as_str());
        id.unwrap().to_owned()
    };
    rows.iter().map(id).collect()
}

/// Returns the URL of a link.
fn link(reply: &Reply, relation: &str) -> Option<String> {
    let links = reply.headers.get("link")?.to_str().unwrap();
    let end = format!(">; rel=\"{relation}\"");
    let link = links.split(", ").find_map(|link| link.strip_suffix(&end))?;
    Some(link.strip_prefix('<').unwrap().to_owned())
}

/// Returns the cursor of the next page.
async fn cursor(client: &Client, list: &str) -> String {
    let next = link(&client.get(&with(list, "limit=1")).await, "next").unwrap();
    next.split_once("cursor=").unwrap().1.to_owned()
}

/// Adds parameters to the path of a list, in place of its own limit.
fn with(list: &str, parameters: &str) -> String {
    let list = list.trim_end_matches("limit=100").trim_end_matches('?');
    let separator = if list.contains('?') { '&' } else { '?' };
    format!("{list}{separator}{parameters}")
}

#[tokio::test]
async fn insertions_between_pages_repeat_and_lose_no_row() {
    let world = World::start().await;
    let sql = world.sql().await;
    sql.batch_execute(ROWS).await.unwrap();
    let admin = world.log_in("admin").await;
    for list in lists() {
        let expected = ids(&admin.get(&list).await.expect(200));
        assert!((12..=50).contains(&expected.len()), "{list}");
        let mut found = Vec::new();
        let mut next = Some(with(&list, "limit=5"));
        while let Some(path) = next {
            let reply = admin.get(&path).await;
            assert!(link(&reply, "prev").is_none(), "{path}");
            next = link(&reply, "next");
            if let Some(next) = &next {
                assert!(
                    next.contains("cursor=") && !next.contains("offset="),
                    "{next}"
                );
            }
            if found.len() < 10 {
                sql.batch_execute(INSERTED).await.unwrap();
            }
            found.extend(ids(&reply.expect(200)));
        }
        let distinct: BTreeSet<&String> = found.iter().collect();
        assert_eq!(distinct.len(), found.len(), "{list}");
        found.retain(|id| expected.contains(id));
        assert_eq!(found, expected, "{list}");
    }
}

#[tokio::test]
async fn links_by_offset_for_a_client_that_gave_an_offset() {
    let world = World::start().await;
    world.sql().await.batch_execute(ROWS).await.unwrap();
    let admin = world.log_in("admin").await;
    for list in lists() {
        let first = admin.get(&with(&list, "limit=2&offset=0")).await;
        let next = link(&first, "next").unwrap();
        assert!(next.ends_with("limit=2&offset=2"), "{next}");
        let second = admin.get(&next).await;
        let previous = link(&second, "prev").unwrap();
        assert!(previous.ends_with("limit=2&offset=0"), "{previous}");
        assert_eq!(
            ids(&admin.get(&previous).await.expect(200)),
            ids(&first.expect(200))
        );
    }
}

#[tokio::test]
async fn lists_without_cursors_link_by_offset() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let reply = admin.get("/api/v1/users?limit=1").await;
    assert_eq!(
        link(&reply, "next").unwrap(),
        "/api/v1/users?limit=1&offset=1"
    );
    admin
        .get("/api/v1/users?cursor=AAAA")
        .await
        .expect_problem(400, "malformed_request");
}

#[tokio::test]
async fn rejects_what_is_not_a_cursor_of_the_list() {
    let world = World::start().await;
    world.sql().await.batch_execute(ROWS).await.unwrap();
    let admin = world.log_in("admin").await;
    let mut cursors = Vec::new();
    for list in lists() {
        cursors.push(cursor(&admin, &list).await);
    }
    let long = "A".repeat(4000);
    for (list, own) in lists().iter().zip(&cursors) {
        let later_version = format!("Ag{}", &own[2..]);
        let mut bad = vec![
            "7",
            "AAAA",
            "a+b",
            "%2e%2e",
            "garbage!",
            &long,
            &later_version,
        ];
        bad.extend([&own[1..], &own[..own.len() - 1], &own[..4]]);
        let foreign = cursors.iter().filter(|it| it[..4] != own[..4]);
        bad.extend(foreign.map(String::as_str));
        for cursor in bad {
            let path = with(list, &format!("cursor={cursor}"));
            let problem =
                admin
                    .get(&path)
                    .await
                    .expect_bad_field(422, "validation_failed", "/cursor");
            let detail = problem["errors"][0]["detail"].as_str().unwrap();
            assert_eq!(detail, "must be the cursor of a `next` link of this list");
        }
        for (parameters, pointer) in [
            ("cursor=", "/cursor"),
            (&*format!("cursor={own}&offset=0"), "/cursor"),
            (&*format!("cursor={own}&limit=0"), "/limit"),
        ] {
            admin.get(&with(list, parameters)).await.expect_bad_field(
                422,
                "validation_failed",
                pointer,
            );
        }
        admin
            .get(&with(list, &format!("cursor={own}")))
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_cursor_gives_no_access() {
    let world = World::start().await;
    world.sql().await.batch_execute(ROWS).await.unwrap();
    let (admin, other) = (world.log_in("admin").await, world.log_in("other").await);
    let cursor = cursor(&admin, COMMANDS).await;
    let body = other
        .get(&format!("{COMMANDS}?cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!((body["total"].as_i64(), ids(&body).len()), (Some(0), 0));
}

#[tokio::test]
async fn counts_up_to_ten_thousand() {
    let world = World::start().await;
    let sql = world.sql().await;
    let admin = world.log_in("admin").await;
    for (inserted, is_capped) in [(10_000, false), (1, true)] {
        let insert = format!(
            "INSERT INTO commands (user_id, vehicle_id, command_name, command_params, status)
             SELECT user_id, '{CONNECTED}', 'ReadDTC', '{{}}', 'completed'
             FROM generate_series(1, {inserted}) n, users WHERE username = 'other'"
        );
        sql.batch_execute(&insert).await.unwrap();
        let row = sql.query_one(
            "SELECT user_id::text FROM users WHERE username = 'other'",
            &[],
        );
        let user_id: String = row.await.unwrap().get(0);
        let reply = admin
            .get(&format!("{COMMANDS}?user_id={user_id}&limit=1&offset=9999"))
            .await;
        assert_eq!(reply.headers["x-total-count"], "10000");
        let mark = reply.headers.get("x-total-count-capped");
        assert_eq!(mark.is_some_and(|mark| mark == "true"), is_capped);
        assert_eq!(link(&reply, "next").is_some(), is_capped);
        let body = reply.expect(200);
        assert_eq!(body["total"], 10_000);
        assert_eq!(body["total_is_capped"], is_capped);
        assert_eq!(ids(&body).len(), 1);
    }
}

#[tokio::test]
async fn returns_all_responses_to_a_client_that_asks_for_no_page() {
    let world = World::start().await;
    let sql = world.sql().await;
    sql.batch_execute(ROWS).await.unwrap();
    let insert = format!(
        "INSERT INTO responses (command_id, response_payload, sequence_number)
         SELECT '{COMMAND}', '{{}}', n FROM generate_series(13, 120) n"
    );
    sql.batch_execute(&insert).await.unwrap();
    let engineer = world.log_in("engineer").await;
    let path = format!("{COMMANDS}/{COMMAND}/responses");
    let reply = engineer.get(&path).await;
    assert!(link(&reply, "next").is_none());
    let all = reply.expect(200);
    assert_eq!(all.as_array().unwrap().len(), 120);
    let reply = engineer.get(&format!("{path}?limit=100")).await;
    assert_eq!(reply.headers["x-total-count"], "120");
    let rest = engineer.get(&link(&reply, "next").unwrap()).await;
    assert!(link(&rest, "next").is_none());
    let numbers = [reply.expect(200), rest.expect(200)]
        .map(|page| ids(&page))
        .concat();
    assert_eq!(numbers, ids(&all));
}
