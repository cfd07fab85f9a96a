use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Stops a running application. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    pub(crate) graceful: CancellationToken,
    pub(crate) immediate: CancellationToken,
}

impl Shutdown {
    /// Creates a shutdown that only code requests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a shutdown that SIGTERM and SIGINT request, too: the first gracefully, the second
    /// immediately.
    ///
    /// # Errors
    ///
    /// The I/O error if the signal handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = Self::new();
        let requested = shutdown.clone();
        tokio::spawn(async move {
            for token in [&requested.graceful, &requested.immediate] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(shutdown)
    }

    /// Requests a graceful shutdown, which lets running work finish.
    pub fn stop(&self) {
        self.graceful.cancel();
    }

    /// Requests an immediate shutdown.
    pub fn stop_now(&self) {
        self.graceful.cancel();
        self.immediate.cancel();
    }

    /// Waits until a shutdown is requested.
    pub async fn requested(&self) {
        self.graceful.cancelled().await;
    }
}
