use std::sync::Arc;

use async_trait::async_trait;
use sovd_domain::{AccessChange, CommandId, FleetEvent, StreamEvent};
use tokio::sync::watch;

use crate::{
    broadcast::{Broadcast, BroadcastReceiver},
    bus::{BusError, EventBus, Subscription},
    fleet_event_hint::FleetEventHint,
    hub::Hub,
};

/// A bus for a single process.
#[derive(Clone)]
pub struct LocalBus {
    hub: Arc<Hub>,
    news: Broadcast<FleetEvent>,
    hints: Broadcast<FleetEventHint>,
    access: Broadcast<AccessChange>,
    hears: Arc<watch::Sender<bool>>,
}

impl LocalBus {
    /// A bus whose watchers may be `backlog` signals behind before they are sent to the database.
    pub fn new(backlog: usize) -> Self {
        Self {
            hub: Arc::new(Hub::new(backlog)),
            news: Broadcast::new(),
            hints: Broadcast::new(),
            access: Broadcast::new(),
            hears: Arc::new(watch::Sender::new(true)),
        }
    }
}

#[async_trait]
impl EventBus for LocalBus {
    async fn publish(&self, event: &StreamEvent) -> Result<(), BusError> {
        self.hub.deliver(event.clone());
        Ok(())
    }

    async fn publish_fleet_event(&self, news: &FleetEvent) -> Result<(), BusError> {
        self.broadcast_locally(news.clone());
        Ok(())
    }

    fn broadcast_locally(&self, news: FleetEvent) {
        self.news.spread(news);
    }

    fn fleet_events(&self) -> BroadcastReceiver<FleetEvent> {
        self.news.subscribe()
    }

    fn has_fleet_event_receivers(&self) -> bool {
        self.news.has_readers()
    }

    fn fleet_event_hints(&self) -> BroadcastReceiver<FleetEventHint> {
        self.hints.subscribe()
    }

    async fn publish_access_change(&self, change: AccessChange) -> Result<(), BusError> {
        self.access.spread(change);
        Ok(())
    }

    fn access_changes(&self) -> BroadcastReceiver<AccessChange> {
        self.access.subscribe()
    }

    fn subscribe(&self, command_id: CommandId) -> Subscription {
        let receiver = self.hub.watch(command_id);
        let hub = Arc::clone(&self.hub);
        Subscription::new(receiver, move || {
            hub.forget_unwatched(command_id);
        })
    }

    fn watched(&self) -> Vec<CommandId> {
        self.hub.watched()
    }

    fn reread(&self, command_id: CommandId) {
        self.hub.reread(command_id);
    }

    fn hears(&self) -> watch::Receiver<bool> {
        self.hears.subscribe()
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }
}
