//! Connections to PostgreSQL with a deadline for every statement.

mod sqlstate;
mod state;
mod target;
mod tls;

use std::time::Duration;

use diesel::{
    ConnectionError, ConnectionResult, QueryResult,
    connection::{CacheSize, Instrumentation},
    pg::Pg,
    query_builder::{AsQuery, QueryFragment, QueryId},
    sql_query,
};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, AsyncPgConnection, RunQueryDsl,
    SimpleAsyncConnection, methods::LoadQuery, pooled_connection::PoolableConnection,
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, try_join},
    stream::{BoxStream, StreamExt, poll_fn},
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_postgres::{AsyncMessage, Client, Notification};

use sqlstate::Observed;
use state::ConnectionState;

pub(crate) use target::Target;

/// A connection to PostgreSQL, which repository functions take.
///
/// A statement that has no result by its deadline fails as unavailable and breaks the connection: further
/// statements fail immediately, and the pool discards the connection. The same applies if the server turns
/// out to be read-only, such as a demoted primary.
pub struct Connection {
    inner: AsyncPgConnection,
    state: ConnectionState,
    driver: Driver,
}

impl Connection {
    async fn new(client: Client, driver: Driver, state: ConnectionState) -> ConnectionResult<Self> {
        Ok(Self {
            inner: AsyncPgConnection::try_from(client).await?,
            state,
            driver,
        })
    }

    /// Limits the time of every later statement, from its start to its last row.
    pub(crate) fn set_deadline(&mut self, deadline: Duration) {
        self.state.set_time_limit(deadline);
    }

    /// Checks that the server responds within `limit`.
    pub(crate) async fn ping(&mut self, limit: Duration) -> QueryResult<()> {
        let response = timeout(limit, sql_query("SELECT 1").execute(self)).await;
        response.unwrap_or_else(|_| Err(self.state.mark_timed_out()))?;
        Ok(())
    }

    /// Whether the server may still execute a statement whose caller has disconnected.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.state.is_unfinished()
    }

    /// Returns the rows of one query and the number that another one returns. Both are sent at once, so that
    /// they take one round trip once they are prepared. They share the deadline of a statement.
    pub(crate) async fn load_with_count<'query, 'connection, Q, C, R>(
        &'connection mut self,
        rows: Q,
        count: C,
    ) -> QueryResult<(Vec<R>, i64)>
    where
        Q: LoadQuery<'query, &'connection AsyncPgConnection, R> + Send + 'query,
        C: LoadQuery<'query, &'connection AsyncPgConnection, i64> + Send + 'query,
        R: Send,
    {
        let Self { inner, state, .. } = self;
        let (mut counting, mut loading) = (&*inner, &*inner);
        let both = try_join(count.get_result(&mut counting), rows.load(&mut loading));
        let (count, rows) = state.with_deadline(both).await?;
        Ok((rows, count))
    }

    /// Returns the next notification on the channels of the connection; `None` after the connection was
    /// closed. Cancel safe.
    pub(crate) async fn notification(&mut self) -> Option<Notification> {
        self.driver.notifications.recv().await
    }
}

impl SimpleAsyncConnection for Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        let Self { inner, state, .. } = self;
        // Boxed, because it is large and part of every future that begins a transaction.
        let statement = inner.batch_execute(query).boxed();
        state.with_deadline(statement).boxed().await
    }
}

impl AsyncConnectionCore for Connection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<Self::Stream<'conn, 'query>>>;
    type Stream<'conn, 'query> = BoxStream<'static, QueryResult<Self::Row<'conn, 'query>>>;
    type Row<'conn, 'query> = <AsyncPgConnection as AsyncConnectionCore>::Row<'conn, 'query>;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let Self { inner, state, .. } = self;
        let load = AsyncConnectionCore::load(inner, source);
        async move {
            let deadline = state.deadline();
            let rows = state.with_deadline(load).await?;
            Ok(state.rows_with_deadline(rows, deadline))
        }
        .boxed()
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let Self { inner, state, .. } = self;
        state
            .with_deadline(inner.execute_returning_count(source))
            .boxed()
    }
}

impl AsyncConnection for Connection {
    type TransactionManager = AnsiTransactionManager;

    async fn establish(url: &str) -> ConnectionResult<Self> {
        Target::parse(url)?.connect().await
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        self.inner.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.inner.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.inner.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.inner.set_prepared_statement_cache_size(size);
    }
}

impl PoolableConnection for Connection {
    fn is_broken(&mut self) -> bool {
        self.state.is_broken() || self.inner.is_broken()
    }
}

/// The task that transfers messages between a socket and its client. The socket closes with it.
struct Driver {
    task: JoinHandle<()>,
    notifications: mpsc::UnboundedReceiver<Notification>,
}

impl Driver {
    fn start(mut connection: tokio_postgres::Connection<Observed, Observed>) -> Self {
        let (sender, notifications) = mpsc::unbounded_channel();
        let mut messages = poll_fn(move |context| connection.poll_message(context));
        let task = tokio::spawn(async move {
            loop {
                match messages.next().await {
                    Some(Ok(AsyncMessage::Notification(notification))) => {
                        // Fails unless the connection is a listener's.
                        let _ = sender.send(notification);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        tracing::debug!(error = in_full(&error), "database connection failed");
                        break;
                    }
                    None => break,
                }
            }
        });
        Self {
            task,
            notifications,
        }
    }
}

impl Drop for Driver {
    /// Stops the task, which would otherwise wait forever for the results of a frozen server.
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn bad(reason: impl Into<String>) -> ConnectionError {
    ConnectionError::BadConnection(reason.into())
}

/// Formats an error with its causes, which the message of the driver omits.
fn in_full(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
