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
#[async_trait]
pub trait EventBus: Send + Sync {
    /// Sends an event to whoever watches its command. What it tells must be committed already.
    ///
    /// # Errors
    ///
    /// When the messenger is away. The event is still in the database.
    async fn publish(&self, event: &StreamEvent) -> Result<(), BusError>;

    /// Sends a piece of news to whoever reads them.
    ///
    /// # Errors
    ///
    /// When the messenger is away.
    async fn publish_fleet_event(&self, news: &FleetEvent) -> Result<(), BusError>;

    /// Gives a piece of news to the readers of this process only.
    fn broadcast_locally(&self, news: FleetEvent);

    /// Reads news from now on, until the subscription is dropped: those of this process, and those
    /// that [`broadcast_locally`](Self::broadcast_locally) gives.
    fn fleet_events(&self) -> BroadcastReceiver<FleetEvent>;

    /// Whether anything reads news in this process.
    fn has_fleet_event_receivers(&self) -> bool;

    /// Reads what other processes say has changed, until the subscription is dropped. It has to be
    /// looked up before it becomes news.
    fn fleet_event_hints(&self) -> BroadcastReceiver<FleetEventHint>;

    /// Tells every process that what is remembered of somebody is out of date.
    ///
    /// # Errors
    ///
    /// When the messenger is away. What is remembered must then end by itself.
    async fn publish_access_change(&self, change: AccessChange) -> Result<(), BusError>;

    /// Reads from now on of what is out of date, until the subscription is dropped.
    fn access_changes(&self) -> BroadcastReceiver<AccessChange>;

    /// Watches a command from now on, until the subscription is dropped.
    fn subscribe(&self, command_id: CommandId) -> Subscription;

    /// The commands that are watched in this process.
    fn watched(&self) -> Vec<CommandId>;

    /// Sends the watchers of a command in this process to the database.
    fn reread(&self, command_id: CommandId);

    /// Whether what others publish is heard now. While it is not, the database has to be asked.
    fn hears(&self) -> watch::Receiver<bool>;

    /// Asks the messenger for a sign of life.
    ///
    /// # Errors
    ///
    /// When there is none.
    async fn ping(&self) -> Result<(), BusError>;
}

/// The messenger did not do its work.
#[derive(Debug, Error)]
pub enum BusError {
    /// It is away.
    #[error("the event bus is not available: {0}")]
    Unavailable(String),
    /// The address of the bus is none.
    #[error("the address of the event bus is not valid: {0}")]
    Address(String),
    /// The certificates of the authorities cannot be used.
    #[error("the certificates of the authorities cannot be used: {0}")]
    Authorities(String),
    /// The certificate of this client or its key cannot be used.
    #[error("the client certificate or its key cannot be used: {0}")]
    ClientCertificate(String),
}

/// What a subscription yields.
#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// Something happened to the command, which this process has committed itself.
    Event(Arc<StreamEvent>),
    /// Something may have happened to it, as a message of another process says.
    Hint(Hint),
    /// Something may have been missed: read the database.
    Reread,
}

/// A watch on one command.
pub struct Subscription {
    receiver: Receiver<Signal>,
    // After the receiver: when it runs, this watcher is not counted any more.
    _on_drop: OnDrop,
}

impl Subscription {
    pub(crate) fn new(
        receiver: Receiver<Signal>,
        on_drop: impl FnOnce() + Send + Sync + 'static,
    ) -> Self {
        Self {
            receiver,
            _on_drop: OnDrop(Some(Box::new(on_drop))),
        }
    }

    /// Waits for the next signal. A reader that was too slow gets one [`Signal::Reread`] for all
    /// that it missed. After the bus is gone this never returns.
    pub async fn next(&mut self) -> Signal {
        match self.receiver.recv().await {
            Ok(signal) => signal,
            Err(RecvError::Lagged(_)) => Signal::Reread,
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
