use std::sync::Arc;

use async_trait::async_trait;
use sovd_domain::{AccessChange, FleetEvent};
use tokio::sync::watch;

use crate::{
    broadcast::Broadcast,
    bus::{BusError, EventBus, Message},
    fleet_event_hint::FleetEventHint,
    subscriptions::CommandSubscriptions,
};

/// An event bus within one process. Clones share it.
#[derive(Clone)]
pub struct LocalBus {
    pub(crate) subscriptions: Arc<CommandSubscriptions>,
    pub(crate) fleet_events: Broadcast<FleetEvent>,
    pub(crate) hints: Broadcast<FleetEventHint>,
    pub(crate) access_changes: Broadcast<AccessChange>,
    pub(crate) connected: Arc<watch::Sender<bool>>,
}

impl LocalBus {
    /// Creates a bus. A subscription that is more than `backlog` signals behind yields
    /// [`CommandSignal::Reread`](crate::CommandSignal::Reread).
    pub fn new(backlog: usize) -> Self {
        Self {
            subscriptions: Arc::new(CommandSubscriptions::new(backlog)),
            fleet_events: Broadcast::new(),
            hints: Broadcast::new(),
            access_changes: Broadcast::new(),
            connected: Arc::new(watch::Sender::new(true)),
        }
    }
}

#[async_trait]
impl EventBus for LocalBus {
    fn local(&self) -> &LocalBus {
        self
    }

    async fn publish_all(&self, messages: &[Message]) -> Result<(), BusError> {
        for message in messages {
            match message {
                Message::Event(event) => self.subscriptions.deliver(event.clone()),
                Message::FleetEvent(event) => self.broadcast_locally(event.clone()),
                Message::AccessChange(change) => self.access_changes.send(*change),
            }
        }
        Ok(())
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }
}
