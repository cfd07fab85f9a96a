//! What the pages of the agents' log cost when there is much of it, shown by the statements that the
//! repository itself has prepared on its connection.

use diesel::{QueryableByName, sql_query, sql_types};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use sovd_domain::AgentActionStatus;
use sovd_storage::{
    Connection,
    agents::activity::{self, AgentActionFilter},
};

use crate::fixture::{Fleet, page};

/// Lines of 100 agents and 20 kinds, one in 1001 blocked.
const LINES: &str = "
    INSERT INTO ueba_logs (agent_name, action_type, source_node, target_node, status, timestamp)
    SELECT 'agent ' || n % 100, 'kind ' || n / 100 % 20, '192.0.2.1', 'POST /api/v1/commands',
           CASE WHEN n % 1001 = 0 THEN 'BLOCKED' ELSE 'ALLOWED' END,
           timestamptz '2026-01-01' + interval '1 s' * (n::bigint * 7919 % 200003)
    FROM generate_series(1, 200000) n";

/// How often a statement is looked at. PostgreSQL may keep one plan for any values after five.
const RUNS: usize = 8;

#[derive(QueryableByName)]
struct Prepared {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Explained {
    #[diesel(sql_type = sql_types::Json, column_name = "QUERY PLAN")]
    plan: Value,
}

/// The plans of the page that was listed last.
async fn plans(connection: &mut Connection, values: &[&str]) -> Vec<Value> {
    let sql = "SELECT name FROM pg_prepared_statements
               WHERE statement LIKE '%FROM \"ueba_logs\"%LIMIT%'
                 AND statement NOT LIKE '%pg_prepared%'
               ORDER BY prepare_time DESC LIMIT 1";
    let page: Prepared = sql_query(sql).get_result(connection).await.unwrap();
    let values: Vec<&str> = values.iter().copied().chain(["50", "0"]).collect();
    let sql = format!(
        "EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {}({})",
        page.name,
        values.join(", ")
    );
    let mut plans = Vec::new();
    for _ in 0..RUNS {
        let explained: Explained = sql_query(&sql).get_result(connection).await.unwrap();
        plans.push(explained.plan[0]["Plan"].clone());
    }
    plans
}

/// The page reads as many lines as it gives, and one moment more at most.
fn assert_is_a_window_on(index: &str, plan: &Value) {
    let (mut node, mut scanned) = (plan, None);
    loop {
        let passed = node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
        let rows = node["Actual Rows"].as_f64().unwrap() + passed;
        assert!(rows <= 60.0, "{plan}");
        scanned = scanned.or(node["Index Name"].as_str());
        match node["Plans"].get(0) {
            Some(child) => node = child,
            None => break,
        }
    }
    assert_eq!(scanned, Some(index), "{plan}");
}

async fn long_log() -> Fleet {
    let fleet = Fleet::new().await;
    fleet.client.batch_execute(LINES).await.unwrap();
    let analyze = "VACUUM ANALYZE ueba_logs";
    fleet.client.batch_execute(analyze).await.unwrap();
    fleet
}

#[tokio::test]
async fn pages_of_a_long_log_come_from_an_index() {
    let fleet = long_log().await;
    let mut connection = fleet.connection().await;
    let any = AgentActionFilter::default;
    for (filter, values, index, total) in [
        (any(), vec![], "idx_ueba_logs_timestamp", 200_000),
        (
            AgentActionFilter {
                status: Some(AgentActionStatus::Allowed),
                ..any()
            },
            vec!["'ALLOWED'"],
            "idx_ueba_logs_timestamp",
            199_801,
        ),
        (
            AgentActionFilter {
                agent_name: Some("agent 7".to_owned()),
                ..any()
            },
            vec!["'agent 7'"],
            "idx_ueba_logs_agent_name_timestamp",
            2000,
        ),
        (
            AgentActionFilter {
                action_type: Some("kind 3".to_owned()),
                ..any()
            },
            vec!["'kind 3'"],
            "idx_ueba_logs_action_type_timestamp",
            10_000,
        ),
    ] {
        let (found, count) = activity::list(&mut connection, &filter, page(50, 0))
            .await
            .unwrap();
        assert_eq!(count, total, "{filter:?}");
        assert_eq!(i64::try_from(found.len()), Ok(total.min(50)));
        for plan in plans(&mut connection, &values).await {
            assert_is_a_window_on(index, &plan);
        }
    }
}

/// How often the index was read so far, and how many entries of it.
async fn reads(fleet: &Fleet, index: &str) -> (i64, i64) {
    let sql = "SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = $1";
    let row = fleet.client.query_one(sql, &[&index]).await.unwrap();
    (row.get(0), row.get(1))
}

/// Their statements name the status as such, which keeps them from being prepared.
#[tokio::test]
async fn what_was_blocked_comes_from_an_index_of_its_own() {
    let fleet = long_log().await;
    let mut connection = fleet.connection().await;
    for (agent_name, index, total) in [
        (None, "idx_ueba_logs_blocked_timestamp", 199),
        (
            Some("agent 7".to_owned()),
            "idx_ueba_logs_blocked_agent_name_timestamp",
            2,
        ),
    ] {
        let filter = AgentActionFilter {
            agent_name,
            status: Some(AgentActionStatus::Blocked),
            ..AgentActionFilter::default()
        };
        let before = reads(&fleet, index).await;
        let (found, count) = activity::list(&mut connection, &filter, page(50, 0))
            .await
            .unwrap();
        assert_eq!(count, total, "{filter:?}");
        assert_eq!(i64::try_from(found.len()), Ok(total.min(50)));
        // The connection tells of what it did when it is asked for something more.
        for _ in 0..2 {
            let flush = sql_query("SELECT pg_stat_force_next_flush()");
            flush.execute(&mut connection).await.unwrap();
        }
        let after = reads(&fleet, index).await;
        assert!(after.0 > before.0, "{filter:?}");
        assert!(after.1 - before.1 <= total + 51, "{filter:?}");
    }
}
