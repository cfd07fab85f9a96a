//! Costs of a page when many rows have the same time, shown by the statements that the repository has
//! prepared on its connection.

use diesel::{QueryableByName, sql_query, sql_types};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use sovd_domain::{
    AuditRecord, CommandScope, Listing,
    paging::{AuditKey, KeyOf, MAX_TOTAL},
};
use sovd_storage::{
    Connection,
    audit::{self, AuditFilter},
    commands::{self, CommandFilter},
};

use crate::fixture::{Fleet, at, page};

/// Rows with one identical time.
const TIES: i64 = 20_000;

/// Executions of a statement. PostgreSQL may keep one plan for any values after five.
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

/// Asserts that the page that was read last from `table` fetches at most `limit` rows through `index`.
async fn assert_reads_only_its_rows(
    connection: &mut Connection,
    table: &str,
    values: &[String],
    limit: f64,
    index: &str,
) {
    let sql = format!(
        "SELECT name FROM pg_prepared_statements
         WHERE statement LIKE '%FROM \"{table}\"%LIMIT%'
           AND statement NOT LIKE '%pg_prepared%' ORDER BY prepare_time DESC LIMIT 1"
    );
    let page: Prepared = sql_query(sql).get_result(connection).await.unwrap();
    let sql = format!(
        "EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {}({})",
        page.name,
        values.join(", ")
    );
    for _ in 0..RUNS {
        let explained: Explained = sql_query(&sql).get_result(connection).await.unwrap();
        let plan = explained.plan;
        let mut node = &plan[0]["Plan"];
        loop {
            let removed = node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
            assert!(
                node["Actual Rows"].as_f64().unwrap() + removed <= limit,
                "{plan}"
            );
            match node["Plans"].get(0) {
                Some(child) => node = child,
                None => break,
            }
        }
        assert_eq!(node["Index Name"], index, "{plan}");
    }
}

async fn with_tied_entries() -> Fleet {
    let fleet = Fleet::new().await;
    let sql = format!(
        "INSERT INTO audit_logs (action, entity_type, details, timestamp)
         SELECT 'test', 'test', '{{}}', '{}' FROM generate_series(1, {TIES})",
        at(0).to_rfc3339(),
    );
    fleet.client.batch_execute(&sql).await.unwrap();
    let analyze = "VACUUM ANALYZE audit_logs";
    fleet.client.batch_execute(analyze).await.unwrap();
    fleet
}

#[tokio::test]
async fn a_page_of_tied_audit_entries_reads_only_its_own_rows() {
    let fleet = with_tied_entries().await;
    let mut connection = fleet.connection().await;
    // What an export asks for: entries up to the moment at which it began.
    let filter = AuditFilter {
        end: Some(at(1)),
        ..AuditFilter::default()
    };
    let first = audit::page(&mut connection, &filter, None, TIES / 2).await;
    let middle: AuditRecord = first.unwrap().pop().unwrap();
    let after = AuditKey::of(&middle);
    let rest = audit::page(&mut connection, &filter, after, 500).await;
    let rest = rest.unwrap();
    assert_eq!(rest.len(), 500);
    assert!(rest.iter().all(|line| line.log_id < middle.log_id));
    let values = [
        format!("'{}'", at(1).to_rfc3339()),
        format!("'{}'", at(0).to_rfc3339()),
        format!("'{}'", middle.log_id),
        "500".to_owned(),
    ];
    let index = "idx_audit_logs_timestamp_desc_log_id_desc";
    assert_reads_only_its_rows(&mut connection, "audit_logs", &values, 500.0, index).await;
}

#[tokio::test]
async fn a_page_of_tied_commands_reads_only_its_own_rows() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let sql = format!(
        "INSERT INTO commands
             (user_id, vehicle_id, command_name, command_params, status, submitted_at, expires_at)
         SELECT '{}', '{}', 'ReadDTC', '{{}}', 'pending', '{time}', '{time}'
         FROM generate_series(1, {TIES})",
        fleet.engineer.0,
        vehicle.0,
        time = at(0).to_rfc3339(),
    );
    fleet.client.batch_execute(&sql).await.unwrap();
    let analyze = "VACUUM ANALYZE commands";
    fleet.client.batch_execute(analyze).await.unwrap();
    let mut connection = fleet.connection().await;
    let all = CommandFilter::default();
    let Listing {
        items: found,
        total,
        ..
    } = commands::list(&mut connection, &all, &CommandScope::ALL, page(50, 0))
        .await
        .unwrap();
    assert_eq!((found.len(), total), (50, MAX_TOTAL));
    let values = ["51".to_owned(), "0".to_owned()];
    let index = "idx_commands_submitted_at_command_id";
    assert_reads_only_its_rows(&mut connection, "commands", &values, 51.0, index).await;
}
