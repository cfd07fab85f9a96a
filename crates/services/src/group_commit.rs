//! Group commit: changes that arrive while a commit is under way are committed together by the next one.
//!
//! There is no timer. A change that finds the writer idle is committed at once, and the more changes are
//! waiting, the more share a commit. PostgreSQL does the same with the flushes of its log; here the
//! statements are shared as well.

use sovd_storage::{Database, StorageError, Transaction};
use tokio::sync::{mpsc, oneshot};

/// Maximum number of changes in one transaction.
const BATCH: usize = 128;

/// Commits changes together.
pub(crate) trait Writer: Send + 'static {
    /// A change.
    type Change: Send + Sync + 'static;
    /// The result of a change, which may be that it was refused.
    type Outcome: Send + 'static;

    /// Commits `changes` in one transaction and returns their outcomes in the same order. `None` leaves a
    /// change out, because it needs more than the statements of a batch or would wait for a lock.
    fn commit(
        &self,
        changes: &[Self::Change],
    ) -> impl Future<Output = Result<Vec<Option<Self::Outcome>>, BatchError>> + Send;
}

/// Why a batch was not committed.
#[derive(Debug)]
pub(crate) enum BatchError {
    /// Nothing was written, and each change may be written alone. One that cannot be written does not
    /// affect the others then.
    RolledBack(StorageError),
    /// The database is unavailable, or the outcome of the commit is unknown.
    Failed(StorageError),
}

/// Begins the transaction of a batch.
pub(crate) async fn begin(database: &Database) -> Result<Transaction, BatchError> {
    database.begin().await.map_err(BatchError::Failed)
}

/// Commits the transaction of a batch if it was written, and rolls it back otherwise.
pub(crate) async fn end<T>(
    transaction: Transaction,
    written: Result<T, StorageError>,
) -> Result<T, BatchError> {
    match written {
        Ok(value) => {
            transaction.commit().await.map_err(BatchError::Failed)?;
            Ok(value)
        }
        Err(error) => {
            transaction.rollback().await.map_err(BatchError::Failed)?;
            Err(BatchError::RolledBack(error))
        }
    }
}

/// What became of a change.
pub(crate) enum BatchOutcome<W: Writer> {
    /// It is committed or refused.
    Committed(W::Outcome),
    /// Nothing was written, and the requester has to write the change alone.
    Alone(W::Change),
}

/// The queue of a writer. Clones share it.
pub(crate) struct GroupCommit<W: Writer> {
    requests: mpsc::Sender<Request<W>>,
}

impl<W: Writer> Clone for GroupCommit<W> {
    fn clone(&self) -> Self {
        Self {
            requests: self.requests.clone(),
        }
    }
}

struct Request<W: Writer> {
    change: W::Change,
    reply: oneshot::Sender<Result<BatchOutcome<W>, StorageError>>,
}

impl<W: Writer> GroupCommit<W> {
    /// Starts `writer` with a queue of at most `capacity` changes.
    pub(crate) fn start(writer: W, capacity: usize) -> Self {
        let (requests, receiver) = mpsc::channel(capacity);
        tokio::spawn(run(writer, receiver));
        Self { requests }
    }

    /// Commits a change with those of other requesters, unless the queue is full. The change may be
    /// committed even if the future is dropped.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] if the queue is full, the database is unavailable, or the outcome is
    /// unknown.
    pub(crate) async fn commit(&self, change: W::Change) -> Result<BatchOutcome<W>, StorageError> {
        let unavailable = |reason: &str| StorageError::Unavailable(reason.to_owned());
        let (reply, outcome) = oneshot::channel();
        self.requests
            .try_send(Request { change, reply })
            .map_err(|_| unavailable("too many changes are waiting to be committed"))?;
        outcome
            .await
            .unwrap_or_else(|_| Err(unavailable("the writer has stopped")))
    }
}

async fn run<W: Writer>(writer: W, mut requests: mpsc::Receiver<Request<W>>) {
    let mut batch = Vec::with_capacity(BATCH);
    while requests.recv_many(&mut batch, BATCH).await > 0 {
        let (changes, replies): (Vec<_>, Vec<_>) = batch
            .drain(..)
            .map(|request| (request.change, request.reply))
            .unzip();
        let outcomes = writer.commit(&changes).await;
        let mut outcomes = match outcomes {
            Ok(outcomes) => outcomes.into_iter(),
            Err(BatchError::RolledBack(error)) => {
                let changes = changes.len();
                tracing::debug!(%error, changes, "batch rolled back; its changes are written alone");
                Vec::new().into_iter()
            }
            Err(BatchError::Failed(error)) => {
                let reason = error.to_string();
                for reply in replies {
                    // The requester may have given up.
                    let _ = reply.send(Err(StorageError::Unavailable(reason.clone())));
                }
                continue;
            }
        };
        for (change, reply) in changes.into_iter().zip(replies) {
            let outcome = match outcomes.next().flatten() {
                Some(outcome) => BatchOutcome::Committed(outcome),
                None => BatchOutcome::Alone(change),
            };
            let _ = reply.send(Ok(outcome));
        }
    }
}
