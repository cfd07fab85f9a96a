use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How a running application is told to stop. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Shutdown {
    /// A shutdown that only code can ask for.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that SIGTERM and SIGINT ask for too: the first softly, the second at once.
    ///
    /// # Errors
    ///
    /// When the system does not let the signals be handled.
    pub fn on_signals() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = Self::new();
        let asked = shutdown.clone();
        tokio::spawn(async move {
            for token in [&asked.soft, &asked.hard] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(shutdown)
    }

    /// Asks to finish what is under way and stop.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Asks to stop now.
    pub fn stop_now(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Waits until somebody asks to stop.
    pub async fn asked(&self) {
        self.soft.cancelled().await;
    }

    pub(crate) fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    pub(crate) fn hard(&self) -> &CancellationToken {
        &self.hard
    }
}
