//! Execution plans of the statements that the repository has prepared on its connection.

use diesel::{QueryableByName, sql_query, sql_types};
use diesel_async::RunQueryDsl;
use serde::Deserialize;
use serde_json::Value;
use sovd_storage::Connection;

/// Executions of each statement. PostgreSQL plans the first five for their values and may switch to a
/// generic plan after that.
pub(crate) const RUNS: usize = 10;

/// A prepared statement.
#[derive(QueryableByName)]
pub(crate) struct Prepared {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
    #[diesel(sql_type = sql_types::Text)]
    pub(crate) statement: String,
}

/// One execution of a statement.
#[derive(Deserialize)]
struct Execution {
    #[serde(rename = "Execution Time")]
    milliseconds: f64,
    #[serde(rename = "Plan")]
    plan: Node,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "Node Type")]
    kind: String,
    #[serde(rename = "Index Name", default)]
    index: String,
    #[serde(rename = "Actual Rows")]
    rows: f64,
    #[serde(rename = "Rows Removed by Filter", default)]
    removed: f64,
    #[serde(rename = "Actual Loops")]
    loops: f64,
    #[serde(rename = "Plans", default)]
    children: Vec<Node>,
}

#[derive(QueryableByName)]
struct Explained {
    #[diesel(sql_type = sql_types::Json, column_name = "QUERY PLAN")]
    plan: Value,
}

/// The plans of [`RUNS`] executions of a statement.
#[derive(Debug)]
pub(crate) struct Cost {
    /// The time of the fastest execution, in milliseconds.
    pub(crate) fastest: f64,
    /// Every node of every plan: its kind, its index and the rows it read in all loops.
    pub(crate) nodes: Vec<(String, String, f64)>,
}

/// Returns the statements on `table` prepared last, newest first.
pub(crate) async fn last_prepared<const N: usize>(
    connection: &mut Connection,
    table: &str,
) -> [Prepared; N] {
    let sql = format!(
        "SELECT name, statement FROM pg_prepared_statements
         WHERE statement LIKE '%FROM%\"{table}\"%' AND statement NOT LIKE '%pg_prepared%'
         ORDER BY prepare_time DESC LIMIT {N}"
    );
    let found: Vec<Prepared> = sql_query(sql).load(connection).await.unwrap();
    let Ok(found) = found.try_into() else {
        panic!("fewer than {N} statements on {table} are prepared");
    };
    found
}

impl Cost {
    /// Executes a prepared statement with the values.
    pub(crate) async fn of(
        connection: &mut Connection,
        prepared: &Prepared,
        values: &[String],
    ) -> Self {
        let values = match values {
            [] => String::new(),
            values => format!("({})", values.join(", ")),
        };
        let name = &prepared.name;
        let sql = format!("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {name}{values}");
        let mut cost = Self {
            fastest: f64::INFINITY,
            nodes: Vec::new(),
        };
        for _ in 0..RUNS {
            let explained: Explained = sql_query(&sql).get_result(connection).await.unwrap();
            let [execution]: [Execution; 1] = serde_json::from_value(explained.plan).unwrap();
            cost.fastest = cost.fastest.min(execution.milliseconds);
            cost.add(execution.plan);
        }
        cost
    }

    fn add(&mut self, node: Node) {
        let rows = (node.rows + node.removed) * node.loops;
        self.nodes.push((node.kind, node.index, rows));
        for child in node.children {
            self.add(child);
        }
    }

    /// Returns whether a plan has a node of this kind.
    pub(crate) fn uses(&self, kind: &str) -> bool {
        self.nodes.iter().any(|node| node.0 == kind)
    }

    /// Returns the largest number of rows that a node read.
    pub(crate) fn most_rows(&self) -> f64 {
        self.nodes.iter().map(|node| node.2).fold(0.0, f64::max)
    }

    /// Asserts that a page of 50 is read in the order of `index`: at most one further row, no sort.
    pub(crate) fn assert_is_a_window_on(&self, index: &str) {
        assert!(!self.uses("Seq Scan") && !self.uses("Sort"), "{self:?}");
        let scans = self.nodes.iter().filter(|node| node.1 == index);
        assert_eq!(scans.count(), RUNS, "{self:?}");
        assert!(self.nodes.iter().all(|node| node.2 <= 51.0), "{self:?}");
    }
}
