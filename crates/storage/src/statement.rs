//! Execution of statements, with the entities and errors of this crate as results.

use diesel::{
    OptionalExtension,
    dsl::{Limit, Offset},
    query_dsl::methods::{LimitDsl, OffsetDsl},
};
use diesel_async::{
    RunQueryDsl,
    methods::{ExecuteDsl, LoadQuery},
};
use sovd_domain::Page;

use crate::{Connection, Result, StorageError};

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

    /// Returns a page of the rows of a query as entities, and the result of `count`.
    fn fetch_page<'query, C, R, T>(
        self,
        connection: &mut Connection,
        count: C,
        page: Page,
    ) -> impl Future<Output = Result<(Vec<T>, i64)>> + Send
    where
        C: LoadQuery<'query, Connection, i64> + Send + 'query,
        Self: LimitDsl,
        Limit<Self>: OffsetDsl,
        Offset<Limit<Self>>: LoadQuery<'query, Connection, R> + Send + 'query,
        R: TryInto<T> + Send,
        StorageError: From<R::Error>,
    {
        async move {
            let total = count.get_result(connection).await?;
            let page = self.limit(page.limit()).offset(page.offset());
            Ok((page.fetch_all(connection).await?, total))
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
