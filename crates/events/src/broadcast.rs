use std::sync::Arc;

use sovd_domain::{AccessChange, FleetEvent};
use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError};

/// How many pieces a reader may be behind before it is told that it missed some.
const BACKLOG: usize = 256;

/// What can be spread: of a kind whose newest state counts, so that one piece can stand for all
/// that were missed.
pub trait Broadcastable: Send + Sync + 'static {
    /// Stands for everything that was missed.
    const MISSED: Self;
}

impl Broadcastable for FleetEvent {
    const MISSED: Self = Self::Resync;
}

impl Broadcastable for AccessChange {
    const MISSED: Self = Self::Unknown;
}

/// Spreads pieces of one kind among the readers of this process.
pub(crate) struct Broadcast<T>(Sender<Arc<T>>);

impl<T> Clone for Broadcast<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Broadcastable> Broadcast<T> {
    pub(crate) fn new() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }

    pub(crate) fn spread(&self, piece: T) {
        // Fails when nobody reads, which is no loss.
        let _ = self.0.send(Arc::new(piece));
    }

    pub(crate) fn has_readers(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(crate) fn subscribe(&self) -> BroadcastReceiver<T> {
        BroadcastReceiver(self.0.subscribe())
    }
}

/// A reader. Only the newest state counts: what it was too slow for is not repeated.
pub struct BroadcastReceiver<T>(Receiver<Arc<T>>);

impl<T: Broadcastable> BroadcastReceiver<T> {
    /// Waits for the next piece; [`Broadcastable::MISSED`] stands for all that was missed. After the bus is
    /// gone this never returns.
    pub async fn next(&mut self) -> Arc<T> {
        match self.0.recv().await {
            Ok(piece) => piece,
            Err(RecvError::Lagged(_)) => Arc::new(T::MISSED),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
