use std::sync::Arc;

use async_trait::async_trait;
use sovd_domain::{AccessChange, CommandId, FleetEvent, StreamEvent};
use thiserror::Error;
use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    watch,
};

use crate::{broadcast::BroadcastReceiver, fleet_event_hint::FleetEventHint, hint::Hint};

/// Carries events between processes, or within one.
///
/// Methods that return a `Result` fail with [`BusError::Unavailable`] while the bus is unavailable.
#[async_trait]
pub trait EventBus: Send + Sync {
    /// Sends an event to the subscribers of its command. Its content must have been committed.
    ///
    /// # Errors
    ///
    /// [`BusError::Unavailable`]. The event can still be read from the database.
    async fn publish(&self, event: &StreamEvent) -> Result<(), BusError>;

    /// Sends a fleet event to all receivers.
    ///
    /// # Errors
    ///
    /// [`BusError::Unavailable`].
    async fn publish_fleet_event(&self, event: &FleetEvent) -> Result<(), BusError>;

    /// Sends a fleet event to the receivers of this process only.
    fn broadcast_locally(&self, event: FleetEvent);

    /// Subscribes to the fleet events of this process, including those sent with
    /// [`broadcast_locally`](Self::broadcast_locally).
    fn fleet_events(&self) -> BroadcastReceiver<FleetEvent>;

    /// Whether this process has receivers of fleet events.
    fn has_fleet_event_receivers(&self) -> bool;

    /// Subscribes to hints from other processes. They must be looked up before they become fleet events.
    fn fleet_event_hints(&self) -> BroadcastReceiver<FleetEventHint>;

    /// Tells every process to discard cached access data.
    ///
    /// # Errors
    ///
    /// [`BusError::Unavailable`]. Cached data must expire by itself then.
    async fn publish_access_change(&self, change: AccessChange) -> Result<(), BusError>;

    /// Subscribes to access changes.
    fn access_changes(&self) -> BroadcastReceiver<AccessChange>;

    /// Subscribes to the events of a command.
    fn subscribe(&self, command_id: CommandId) -> Subscription;

    /// Returns the commands that have subscriptions in this process.
    fn subscribed_commands(&self) -> Vec<CommandId>;

    /// Tells the subscribers of a command in this process to read the database.
    fn request_reread(&self, command_id: CommandId);

    /// Whether messages of other processes are received. While they are not, the database must be polled.
    fn connected(&self) -> watch::Receiver<bool>;

    /// Checks that the bus responds.
    ///
    /// # Errors
    ///
    /// [`BusError::Unavailable`].
    async fn ping(&self) -> Result<(), BusError>;
}

/// A failure of the event bus.
#[derive(Debug, Error)]
pub enum BusError {
    /// The bus cannot be reached or does not respond in time.
    #[error("the event bus is not available: {0}")]
    Unavailable(String),
    /// The URL is invalid.
    #[error("the address of the event bus is not valid: {0}")]
    Address(String),
    /// The CA certificates cannot be used.
    #[error("the certificates of the authorities cannot be used: {0}")]
    Authorities(String),
    /// The client certificate or its key cannot be used.
    #[error("the client certificate or its key cannot be used: {0}")]
    ClientCertificate(String),
}

/// An item of a [`Subscription`].
#[derive(Debug, Clone, PartialEq)]
pub enum CommandSignal {
    /// An event that this process has committed.
    Event(Arc<StreamEvent>),
    /// A hint from another process.
    Hint(Hint),
    /// Events may have been missed: read the database.
    Reread,
}

/// A subscription to the events of one command, until it is dropped.
pub struct Subscription {
    receiver: Receiver<CommandSignal>,
    // Dropped after the receiver, which is then no longer counted.
    _on_drop: OnDrop,
}

impl Subscription {
    pub(crate) fn new(
        receiver: Receiver<CommandSignal>,
        on_drop: impl FnOnce() + Send + Sync + 'static,
    ) -> Self {
        Self {
            receiver,
            _on_drop: OnDrop(Some(Box::new(on_drop))),
        }
    }

    /// Waits for the next signal. One [`CommandSignal::Reread`] replaces all signals that a slow
    /// subscriber missed. Never returns after the bus is dropped.
    pub async fn next(&mut self) -> CommandSignal {
        match self.receiver.recv().await {
            Ok(signal) => signal,
            Err(RecvError::Lagged(_)) => CommandSignal::Reread,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

struct OnDrop(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
        }
    }
}
