//! The cost of pages of a long agent activity log.

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use sovd_domain::{AgentActionStatus, Listing, paging::MAX_TOTAL};
use sovd_storage::agents::activity::{self, AgentActionFilter};

use crate::{
    fixture::{Fleet, page},
    plans::{Cost, last_prepared},
};

/// Entries of 100 agents and 20 kinds of action; one in 1001 is blocked.
const ENTRIES: &str = "
    INSERT INTO ueba_logs (agent_name, action_type, source_node, target_node, status, timestamp)
    SELECT 'agent ' || n % 100, 'kind ' || n / 100 % 20, '192.0.2.1', 'POST /api/v1/commands',
           CASE WHEN n % 1001 = 0 THEN 'BLOCKED' ELSE 'ALLOWED' END,
           timestamptz '2026-01-01' + interval '1 s' * (n::bigint * 7919 % 200003)
    FROM generate_series(1, 200000) n";

async fn long_log() -> Fleet {
    let fleet = Fleet::new().await;
    for sql in [ENTRIES, "VACUUM ANALYZE ueba_logs"] {
        fleet.client.batch_execute(sql).await.unwrap();
    }
    fleet
}

#[tokio::test]
async fn pages_of_a_long_log_are_index_scans() {
    let fleet = long_log().await;
    let mut connection = fleet.connection().await;
    let any = AgentActionFilter::default;
    for (filter, value, index, total) in [
        (any(), None, "idx_ueba_logs_timestamp", 200_000),
        (
            AgentActionFilter {
                status: Some(AgentActionStatus::Allowed),
                ..any()
            },
            Some("'ALLOWED'"),
            "idx_ueba_logs_timestamp",
            199_801,
        ),
        (
            AgentActionFilter {
                agent_name: Some("agent 7".to_owned()),
                ..any()
            },
            Some("'agent 7'"),
            "idx_ueba_logs_agent_name_timestamp",
            2000,
        ),
        (
            AgentActionFilter {
                action_type: Some("kind 3".to_owned()),
                ..any()
            },
            Some("'kind 3'"),
            "idx_ueba_logs_action_type_timestamp",
            10_000,
        ),
    ] {
        let Listing {
            items: found,
            total: count,
            ..
        } = activity::list(&mut connection, &filter, page(50, 0))
            .await
            .unwrap();
        assert_eq!(count, total.min(MAX_TOTAL), "{filter:?}");
        assert_eq!(i64::try_from(found.len()), Ok(total.min(50)));
        let [paging] = last_prepared(&mut connection, "ueba_logs").await;
        let values: Vec<String> = value
            .into_iter()
            .chain(["50", "0"])
            .map(str::to_owned)
            .collect();
        let cost = Cost::of(&mut connection, &paging, &values).await;
        cost.assert_is_a_window_on(index);
    }
}

/// Returns how often the index was scanned, and how many entries were read.
async fn reads(fleet: &Fleet, index: &str) -> (i64, i64) {
    let sql = "SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = $1";
    let row = fleet.client.query_one(sql, &[&index]).await.unwrap();
    (row.get(0), row.get(1))
}

/// Uses statistics instead of plans: the statements contain a literal status, so they are not prepared.
#[tokio::test]
async fn blocked_entries_are_read_from_a_partial_index() {
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
        let Listing {
            items: found,
            total: count,
            ..
        } = activity::list(&mut connection, &filter, page(50, 0))
            .await
            .unwrap();
        assert_eq!(count, total.min(MAX_TOTAL), "{filter:?}");
        assert_eq!(i64::try_from(found.len()), Ok(total.min(50)));
        // A backend reports its statistics with the next statement.
        for _ in 0..2 {
            let flush = sql_query("SELECT pg_stat_force_next_flush()");
            flush.execute(&mut connection).await.unwrap();
        }
        let after = reads(&fleet, index).await;
        assert!(after.0 > before.0, "{filter:?}");
        assert!(after.1 - before.1 <= total + 51, "{filter:?}");
    }
}
