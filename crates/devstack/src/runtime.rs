use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Error, NoTls};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The runtime on which databases are created and dropped, because every test has its own runtime and
/// `drop` has none.
#[expect(
    clippy::expect_used,
    reason = "a process that cannot start a thread cannot test"
)]
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("devstack-databases")
        .enable_all()
        .build()
        .expect("failed to start a runtime")
});

/// Runs the work to its end, even if the caller is cancelled.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    RUNTIME.spawn(work)
}

/// Blocks until the work is done; returns `None` if it takes too long or panics.
pub(crate) fn block_on<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    spawn(async move { sender.send(timeout(TIMEOUT, work).await.ok()) });
    receiver.recv().ok().flatten()
}

/// Opens a connection to PostgreSQL (without TLS), driven by a task of the current runtime.
///
/// # Panics
///
/// Panics outside a tokio runtime.
pub async fn connect(url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
