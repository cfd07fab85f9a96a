use diesel::{
    QueryResult,
    expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate},
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    query_dsl::methods::SelectDsl,
    sql_types::{BigInt, Integer},
};
use sovd_domain::paging::MAX_TOTAL;

/// The number of rows that a table has by the statistics of PostgreSQL from which it is not counted. Far above
/// [`MAX_TOTAL`], because the statistics lag behind deletions until the next vacuum.
const LARGE: i64 = 10 * MAX_TOTAL;

/// Counts the rows of a query up to one more than [`MAX_TOTAL`].
pub(crate) fn capped_count<Q: SelectDsl<One>>(query: Q) -> CappedCount<Q::Output> {
    CappedCount {
        query: query.select(One),
        table: None,
    }
}

/// The number of rows of a query, of which only the first are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CappedCount<Q> {
    query: Q,
    table: Option<&'static str>,
}

impl<Q> CappedCount<Q> {
    /// Counts no rows if `is_entire`, which says that the query selects all rows of `table`, and the table is
    /// large.
    pub(crate) fn of_entire(self, table: &'static str, is_entire: bool) -> Self {
        Self {
            table: is_entire.then_some(table),
            ..self
        }
    }
}

impl<Q> QueryId for CappedCount<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q> Query for CappedCount<Q> {
    type SqlType = BigInt;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for CappedCount<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let cap = MAX_TOTAL + 1;
        if let Some(table) = self.table {
            out.push_sql(&format!(
                "SELECT CASE WHEN (SELECT reltuples FROM pg_class
                                   WHERE oid = '{table}'::regclass) >= {LARGE}
                 THEN {cap} ELSE ("
            ));
        }
        out.push_sql("SELECT count(*) FROM (");
        self.query.walk_ast(out.reborrow())?;
        // A literal, because PostgreSQL plans for a tenth of the rows if the limit is a parameter.
        out.push_sql(&format!(" LIMIT {cap}) AS counted"));
        if self.table.is_some() {
            out.push_sql(") END");
        }
        Ok(())
    }
}

/// The literal 1, which no column has to be read for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct One;

impl Expression for One {
    type SqlType = Integer;
}

impl<S> SelectableExpression<S> for One {}

impl<S> AppearsOnTable<S> for One {}

impl<G> ValidGrouping<G> for One {
    type IsAggregate = is_aggregate::Never;
}

impl QueryFragment<Pg> for One {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("1");
        Ok(())
    }
}

impl QueryId for One {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}
