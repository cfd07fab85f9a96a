//! SQL text that is prepared once on each connection.
//!
//! [`diesel::sql_query`] parses and plans its text at every execution. What runs for every command is
//! prepared instead.
//!
//! The output columns of a prepared statement must be named: with `*`, a migration that adds a column makes
//! every connection that has prepared the statement fail until it is closed.

use std::marker::PhantomData;

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    serialize::ToSql,
    sql_types::{HasSqlType, Untyped},
};

/// The text of a statement, with `{}` for each parameter. The implementing type identifies the statement
/// in the cache of a connection.
pub(crate) trait Text: 'static {
    /// The text.
    const SQL: &'static str;
}

/// A statement with its parameters, created by [`prepared!`].
pub(crate) struct Prepared<'a, T> {
    parameters: Vec<Box<dyn QueryFragment<Pg> + Send + 'a>>,
    text: PhantomData<T>,
}

impl<'a, T: Text> Prepared<'a, T> {
    pub(crate) fn new(parameters: Vec<Box<dyn QueryFragment<Pg> + Send + 'a>>) -> Self {
        Self {
            parameters,
            text: PhantomData,
        }
    }
}

impl<T: Text> QueryFragment<Pg> for Prepared<'_, T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut pieces = T::SQL.split("{}");
        out.push_sql(pieces.next().unwrap_or_default());
        for (parameter, piece) in self.parameters.iter().zip(pieces) {
            parameter.walk_ast(out.reborrow())?;
            out.push_sql(piece);
        }
        Ok(())
    }
}

impl<T: Text> QueryId for Prepared<'_, T> {
    type QueryId = T;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<T: Text> Query for Prepared<'_, T> {
    type SqlType = Untyped;
}

/// A parameter of the SQL type `S`.
pub(crate) struct Parameter<S, V> {
    value: V,
    sql_type: PhantomData<fn() -> S>,
}

impl<S, V> Parameter<S, V> {
    pub(crate) fn new(value: V) -> Self {
        Self {
            value,
            sql_type: PhantomData,
        }
    }
}

impl<S, V> QueryFragment<Pg> for Parameter<S, V>
where
    Pg: HasSqlType<S>,
    V: ToSql<S, Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<S, V>(&self.value)
    }
}

/// Creates a [`Prepared`] statement from its text and, in the order of the `{}`, the SQL types and the
/// values of its parameters.
macro_rules! prepared {
    ($sql:expr $(, $sql_type:ty = $value:expr)* $(,)?) => {{
        struct Statement;
        impl $crate::prepared::Text for Statement {
            const SQL: &'static str = $sql;
        }
        $crate::prepared::Prepared::<Statement>::new(vec![
            $(Box::new($crate::prepared::Parameter::<$sql_type, _>::new($value))),*
        ])
    }};
}
pub(crate) use prepared;
