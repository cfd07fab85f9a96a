use std::sync::Arc;

use sovd_domain::{AccessChange, FleetEvent};
use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError};

/// The number of messages that a receiver may be behind before it misses some.
const BACKLOG: usize = 256;

/// A message of a kind for which only the newest state counts, so that one message can replace all that
/// were missed.
pub trait Broadcastable: Send + Sync + 'static {
    /// Replaces all missed messages.
    const MISSED: Self;
}

impl Broadcastable for FleetEvent {
    const MISSED: Self = Self::Resync;
}

impl Broadcastable for AccessChange {
    const MISSED: Self = Self::Unknown;
}

/// Sends messages to the receivers of this process.
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

    pub(crate) fn send(&self, message: T) {
        // Fails if there are no receivers.
        let _ = self.0.send(Arc::new(message));
    }

    pub(crate) fn has_receivers(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(crate) fn subscribe(&self) -> BroadcastReceiver<T> {
        BroadcastReceiver(self.0.subscribe())
    }
}

/// Receives the messages of a broadcast, until it is dropped.
pub struct BroadcastReceiver<T>(Receiver<Arc<T>>);

impl<T: Broadcastable> BroadcastReceiver<T> {
    /// Waits for the next message. One [`Broadcastable::MISSED`] replaces all messages that a slow receiver
    /// missed. Never returns after the bus is dropped.
    pub async fn next(&mut self) -> Arc<T> {
        match self.0.recv().await {
            Ok(message) => message,
            Err(RecvError::Lagged(_)) => Arc::new(T::MISSED),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
