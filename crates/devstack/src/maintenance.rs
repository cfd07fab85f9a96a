use std::fmt;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Client, NoTls};

use crate::error::StackError;
use crate::owner_tag::OwnerTag;
use crate::sweep::{drop_all_of, drop_leftovers};

/// A thread with one connection to PostgreSQL, on which databases are created and dropped one
/// after the other.
///
/// The thread has a runtime of its own, so that callers in any runtime, and in `drop`, can use
/// it. The connection holds the lock of the [`OwnerTag`]; a lost one is replaced when the next
/// work arrives.
#[derive(Debug)]
pub(crate) struct Maintenance {
    orders: mpsc::UnboundedSender<Work>,
    // Below the sender, because the thread ends when that is gone.
    _thread: JoinOnDrop,
}

/// A handle that does not keep the thread running.
#[derive(Clone, Debug)]
pub(crate) struct MaintenanceHandle {
    orders: mpsc::WeakUnboundedSender<Work>,
}

impl Maintenance {
    /// `tidy` means that the server outlives this process: at the end, drop what is left.
    pub(crate) fn start(url: String, tag: OwnerTag, tidy: bool) -> Result<Self, StackError> {
        let (orders, work) = mpsc::unbounded_channel();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StackError::io("start", "a runtime"))?;
        let session = Session {
            url,
            tag,
            client: None,
        };
        let thread = thread::Builder::new()
            .name("devstack-databases".to_owned())
            .spawn(move || serve(&runtime, session, work, tidy))
            .map_err(StackError::io("start", "a thread"))?;
        Ok(Self {
            orders,
            _thread: JoinOnDrop(Some(thread)),
        })
    }

    pub(crate) fn handle(&self) -> MaintenanceHandle {
        MaintenanceHandle {
            orders: self.orders.downgrade(),
        }
    }
}

impl MaintenanceHandle {
    /// Runs the statements one by one; they stop at the first that fails.
    pub(crate) async fn run(&self, statements: Vec<String>) -> Result<(), StackError> {
        let (reply, answer) = oneshot::channel();
        // Nobody is left to be told when the caller has given up.
        self.order(statements, Box::new(|result| drop(reply.send(result))))?;
        answer.await.map_err(|_| StackError::Ended)?
    }

    /// As [`run`](Self::run), and tells `done` in the maintenance thread.
    pub(crate) fn order(&self, statements: Vec<String>, done: Done) -> Result<(), StackError> {
        let orders = self.orders.upgrade().ok_or(StackError::Ended)?;
        orders
            .send(Work { statements, done })
            .map_err(|_| StackError::Ended)
    }
}

pub(crate) type Done = Box<dyn FnOnce(Result<(), StackError>) + Send>;

struct Work {
    statements: Vec<String>,
    done: Done,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("statements", &self.statements)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct JoinOnDrop(Option<JoinHandle<()>>);

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    runtime: &Runtime,
    mut session: Session,
    mut work: mpsc::UnboundedReceiver<Work>,
    tidy: bool,
) {
    runtime.block_on(async {
        while let Some(Work { statements, done }) = work.recv().await {
            done(session.run(&statements).await);
        }
        if tidy && let Some(client) = &session.client {
            // Whatever fails to go now is swept by the next process.
            let _ = drop_all_of(client, session.tag).await;
        }
    });
}

struct Session {
    url: String,
    tag: OwnerTag,
    client: Option<Client>,
}

impl Session {
    async fn run(&mut self, statements: &[String]) -> Result<(), StackError> {
        for statement in statements {
            if self.client.as_ref().is_some_and(Client::is_closed) {
                self.client = None;
            }
            let client = match self.client.take() {
                Some(client) => client,
                None => self.connect().await?,
            };
            self.client
                .insert(client)
                .batch_execute(statement)
                .await
                .map_err(StackError::database(format!("run `{statement}`")))?;
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Client, StackError> {
        const DEADLINE: Duration = Duration::from_secs(10);
        let connecting = async {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
            tokio::spawn(connection);
            client
                .execute("SELECT pg_advisory_lock($1)", &[&self.tag.lock_key()])
                .await?;
            drop_leftovers(&client).await?;
            Ok(client)
        };
        tokio::time::timeout(DEADLINE, connecting)
            .await
            .map_err(|_| {
                StackError::io("connect to", "PostgreSQL")(io::ErrorKind::TimedOut.into())
            })?
            .map_err(StackError::database("connect to PostgreSQL"))
    }
}
