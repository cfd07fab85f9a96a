//! Execution of statements, with the entities and errors of this crate as results.

mod capped_count;

use diesel::{
    OptionalExtension,
    dsl::{Limit, Offset},
    query_dsl::methods::{LimitDsl, OffsetDsl},
};
use diesel_async::{
    AsyncPgConnection, RunQueryDsl,
    methods::{ExecuteDsl, LoadQuery},
};
use sovd_domain::{Listing, Page};

use crate::{Connection, Result, StorageError};

pub(crate) use capped_count::capped_count;

/// Restricts a boxed query to the rows after the time and id of a [`TimeKey`](sovd_domain::paging::TimeKey),
/// if there is one, newest first.
///
/// A row comparison makes an index scan start exactly after the row. With separate conditions it would start
/// at the first of all rows with the same time.
macro_rules! after_time {
    ($query:ident, $($time:ident)::+, $($id:ident)::+, $key:expr) => {
        if let Some(key) = $key {
            use diesel::{IntoSql, sql_types::{Record, Timestamptz, Uuid}};
            $query = $query.filter(
                ($($time)::+, $($id)::+)
                    .into_sql::<Record<(Timestamptz, Uuid)>>()
                    .lt((key.time, key.id)),
            );
        }
    };
}
pub(crate) use after_time;

/// The execution of a statement. A row that cannot be read as an entity is
/// [`CorruptRow`](StorageError::CorruptRow).
pub(crate) trait Statement: Sized + Send {
    /// Executes the statement.
    fn run(self, connection: &mut Connection) -> impl Future<Output = Result<()>> + Send
    where
        Self: ExecuteDsl<Connection>,
    {
        async move { self.count_rows(connection).await.map(drop) }
    }

    /// Executes the statement and returns whether it affected or returned a row.
    fn affects_rows(self, connection: &mut Connection) -> impl Future<Output = Result<bool>> + Send
    where
        Self: ExecuteDsl<Connection>,
    {
        async move { Ok(self.count_rows(connection).await? > 0) }
    }

    /// Executes the statement and returns the number of affected rows.
    fn count_rows(self, connection: &mut Connection) -> impl Future<Output = Result<usize>> + Send
    where
        Self: ExecuteDsl<Connection>,
    {
        async move { Ok(self.execute(connection).await?) }
    }

    /// Returns the first row of a query as an entity.
    fn fetch_first<'query, R, T>(
        self,
        connection: &mut Connection,
    ) -> impl Future<Output = Result<Option<T>>> + Send
    where
        Self: LimitDsl + 'query,
        Limit<Self>: LoadQuery<'query, Connection, R> + Send + 'query,
        R: TryInto<T> + Send,
        StorageError: From<R::Error>,
    {
        async move {
            let row = self.first(connection).await.optional()?;
            Ok(row.map(R::try_into).transpose()?)
        }
    }

    /// Returns the row that an update of at most one row returns, as an entity.
    fn fetch_returned<'query, R, T>(
        self,
        connection: &mut Connection,
    ) -> impl Future<Output = Result<Option<T>>> + Send
    where
        Self: LoadQuery<'query, Connection, R> + 'query,
        R: TryInto<T> + Send,
        StorageError: From<R::Error>,
    {
        async move {
            let row = self.get_result(connection).await.optional()?;
            Ok(row.map(R::try_into).transpose()?)
        }
    }

    /// Returns a page of the rows of a query as entities, with the result of `count`, in one round trip. The
    /// query must already be restricted to the rows after the key of the page.
    fn fetch_page<'query, 'connection, C, R, T, K>(
        self,
        connection: &'connection mut Connection,
        count: C,
        page: &Page<K>,
    ) -> impl Future<Output = Result<Listing<T>>> + Send
    where
        C: LoadQuery<'query, &'connection AsyncPgConnection, i64> + Send + 'query,
        Self: LimitDsl,
        Limit<Self>: OffsetDsl,
        Offset<Limit<Self>>: LoadQuery<'query, &'connection AsyncPgConnection, R> + Send + 'query,
        R: TryInto<T> + Send,
        T: Send,
        StorageError: From<R::Error>,
    {
        let limit = page.limit();
        let page = self.limit(limit + 1).offset(page.offset());
        async move {
            let (rows, counted) = connection.load_with_count(page, count).await?;
            let items = rows
                .into_iter()
                .map(R::try_into)
                .collect::<Result<_, _>>()?;
            Ok(Listing::new(items, limit, counted))
        }
    }

    /// Returns all rows of a query as entities.
    fn fetch_all<'query, R, T>(
        self,
        connection: &mut Connection,
    ) -> impl Future<Output = Result<Vec<T>>> + Send
    where
        Self: LoadQuery<'query, Connection, R> + 'query,
        R: TryInto<T> + Send,
        StorageError: From<R::Error>,
    {
        async move {
            let rows = self.load(connection).await?.into_iter();
            Ok(rows.map(R::try_into).collect::<Result<_, _>>()?)
        }
    }
}

impl<S: Send> Statement for S {}
