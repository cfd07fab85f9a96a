use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, ready},
    time::Duration,
};

use diesel::{
    QueryResult,
    result::{DatabaseErrorKind, Error as DieselError},
};
use futures_util::stream::{BoxStream, StreamExt, poll_fn};
use tokio::time::{Instant, sleep_until, timeout};

use super::sqlstate::LastError;
use crate::error::Outage;

/// SQLSTATE `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";

/// The state of a connection outside of the protocol: the time limit of statements, whether the connection
/// can be reused, and the SQLSTATE of the last error.
pub(super) struct ConnectionState {
    time_limit: Option<Duration>,
    health: Health,
}

#[derive(Clone)]
struct Health {
    broken: Arc<AtomicBool>,
    /// Whether the result of a statement has not been read completely.
    unfinished: Arc<AtomicBool>,
    last_error: LastError,
}

impl ConnectionState {
    /// Creates the state of a connection whose errors are recorded in `last_error`.
    pub(super) fn new(last_error: LastError) -> Self {
        Self {
            time_limit: None,
            health: Health {
                broken: Arc::default(),
                unfinished: Arc::default(),
                last_error,
            },
        }
    }

    pub(super) fn set_time_limit(&mut self, time_limit: Duration) {
        self.time_limit = Some(time_limit);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.health.broken.load(Ordering::Relaxed)
    }

    /// Whether the server may still execute a statement, because its future or its rows were dropped early.
    pub(super) fn is_unfinished(&self) -> bool {
        self.health.unfinished.load(Ordering::Relaxed)
    }

    /// Marks the connection as broken because a statement has no result in time.
    pub(super) fn mark_timed_out(&self) -> DieselError {
        self.health.mark_timed_out()
    }

    /// Returns when a statement that starts now must have ended.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.time_limit.map(|limit| Instant::now() + limit)
    }

    /// Executes a statement, which fails if it has no result before its deadline.
    pub(super) async fn with_deadline<T>(
        &self,
        statement: impl Future<Output = QueryResult<T>> + Send,
    ) -> QueryResult<T> {
        if self.is_broken() {
            return Err(Outage::new("the connection is broken").into());
        }
        self.health.last_error.clear();
        self.health.set_unfinished(true);
        let outcome = match self.time_limit {
            Some(limit) => match timeout(limit, statement).await {
                Ok(outcome) => outcome,
                Err(_) => return Err(self.health.mark_timed_out()),
            },
            None => statement.await,
        };
        self.health.set_unfinished(false);
        outcome.map_err(|error| self.health.classify(error))
    }

    /// Ends `rows` with an error if they are not complete by `deadline`.
    pub(super) fn rows_with_deadline<R: Send + 'static>(
        &self,
        mut rows: BoxStream<'static, QueryResult<R>>,
        deadline: Option<Instant>,
    ) -> BoxStream<'static, QueryResult<R>> {
        let health = self.health.clone();
        health.set_unfinished(true);
        let mut at_deadline = Box::pin(async move {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        });
        let mut timed_out = false;
        poll_fn(move |context| {
            if timed_out {
                return Poll::Ready(None);
            }
            if let Poll::Ready(row) = rows.poll_next_unpin(context) {
                if row.is_none() {
                    health.set_unfinished(false);
                }
                let row = row.map(|row| row.map_err(|error| health.classify(error)));
                return Poll::Ready(row);
            }
            ready!(at_deadline.as_mut().poll(context));
            timed_out = true;
            Poll::Ready(Some(Err(health.mark_timed_out())))
        })
        .boxed()
    }
}

impl Health {
    fn set_unfinished(&self, unfinished: bool) {
        self.unfinished.store(unfinished, Ordering::Relaxed);
    }

    fn mark_timed_out(&self) -> DieselError {
        self.broken.store(true, Ordering::Relaxed);
        Outage::new("no result before the deadline of the statement").into()
    }

    /// Converts transient errors, by the SQLSTATE that diesel drops, to [`Outage`]s.
    fn classify(&self, error: DieselError) -> DieselError {
        let DieselError::DatabaseError(kind, info) = &error else {
            return error;
        };
        let code = self.last_error.code();
        if code.as_deref() == Some(READ_ONLY) {
            // The server has become a replica, and cannot be promoted without closing connections to it.
            self.broken.store(true, Ordering::Relaxed);
        }
        match (kind, code) {
            (DatabaseErrorKind::Unknown, Some(code)) => {
                Outage::from_sqlstate(&code, info.message()).map_or(error, DieselError::from)
            }
            _ => error,
        }
    }
}
