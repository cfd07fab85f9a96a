use std::sync::Arc;

use async_trait::async_trait;
use sovd_domain::{AccessChange, CommandId, FleetEvent, StreamEvent};
use thiserror::Error;
use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    watch,
};

use crate::{
    broadcast::BroadcastReceiver, fleet_event_hint::FleetEventHint, hint::Hint, local::LocalBus,
    subscriptions::CommandSubscriptions,
};

/// Carries events between processes, or within one.
///
/// Methods that return a `Result` fail with [`BusError::Unavailable`] while the bus is unavailable.
#[async_trait]
pub trait EventBus: Send + Sync {
    /// Returns the part of the bus that delivers messages within this process.
    fn local(&self) -> &LocalBus;

    /// Sends messages in order, over a network in one round trip. What they announce must have been
    /// committed, so that it can be read from the database after an error, which applies to all of them.
    async fn publish_all(&self, messages: &[Message]) -> Result<(), BusError>;

    /// Sends an event to the subscribers of its command.
    async fn publish(&self, event: &StreamEvent) -> Result<(), BusError> {
        self.publish_all(&[Message::Event(event.clone())]).await
    }

    /// Sends a fleet event to all receivers.
    async fn publish_fleet_event(&self, event: &FleetEvent) -> Result<(), BusError> {
        self.publish_all(&[Message::FleetEvent(event.clone())])
            .await
    }

    /// Tells every process to discard cached access data, which must expire by itself after an error.
    async fn publish_access_change(&self, change: AccessChange) -> Result<(), BusError> {
        self.publish_all(&[Message::AccessChange(change)]).await
    }

    /// Checks that the bus responds.
    async fn ping(&self) -> Result<(), BusError>;

    /// Subscribes to the events of a command.
    fn subscribe(&self, command_id: CommandId) -> Subscription {
        Subscription::new(&self.local().subscriptions, command_id, || {})
    }

    /// Sends a fleet event to the receivers of this process only.
    fn broadcast_locally(&self, event: FleetEvent) {
        self.local().fleet_events.send(event);
    }

    /// Subscribes to the fleet events of this process, including those sent with
    /// [`broadcast_locally`](Self::broadcast_locally).
    fn fleet_events(&self) -> BroadcastReceiver<FleetEvent> {
        self.local().fleet_events.subscribe()
    }

    /// Whether this process has receivers of fleet events.
    fn has_fleet_event_receivers(&self) -> bool {
        self.local().fleet_events.has_receivers()
    }

    /// Subscribes to hints from other processes. They must be looked up before they become fleet events.
    fn fleet_event_hints(&self) -> BroadcastReceiver<FleetEventHint> {
        self.local().hints.subscribe()
    }

    /// Subscribes to access changes.
    fn access_changes(&self) -> BroadcastReceiver<AccessChange> {
        self.local().access_changes.subscribe()
    }

    /// Returns the commands that have subscriptions in this process.
    fn subscribed_commands(&self) -> Vec<CommandId> {
        self.local().subscriptions.commands()
    }

    /// Tells the subscribers of a command in this process to read the database.
    fn request_reread(&self, command_id: CommandId) {
        self.local().subscriptions.request_reread(command_id);
    }

    /// Whether messages of other processes are received. While they are not, the database must be polled.
    fn connected(&self) -> watch::Receiver<bool> {
        self.local().connected.subscribe()
    }
}

/// A message on the bus.
#[derive(Debug, Clone)]
pub enum Message {
    /// To the subscribers of its command.
    Event(StreamEvent),
    /// To all receivers of fleet events.
    FleetEvent(FleetEvent),
    /// To every process.
    AccessChange(AccessChange),
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
    /// Subscribes to a command; `on_drop` runs after the subscription has been removed.
    pub(crate) fn new(
        subscriptions: &Arc<CommandSubscriptions>,
        command_id: CommandId,
        on_drop: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let subscriptions = Arc::clone(subscriptions);
        Self {
            receiver: subscriptions.add(command_id),
            _on_drop: OnDrop(Box::new(move || {
                subscriptions.remove_unused(command_id);
                on_drop();
            })),
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

struct OnDrop(Box<dyn Fn() + Send + Sync>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        (self.0)();
    }
}
