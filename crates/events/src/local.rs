use std::sync::Arc;

use async_trait::async_trait;
use sovd_domain::{AccessChange, CommandId, FleetEvent, StreamEvent};
use tokio::sync::watch;

use crate::{
    broadcast::{Broadcast, BroadcastReceiver},
    bus::{BusError, EventBus, Subscription},
    fleet_event_hint::FleetEventHint,
    subscriptions::CommandSubscriptions,
};

/// An event bus within one process.
#[derive(Clone)]
pub struct LocalBus {
    subscriptions: Arc<CommandSubscriptions>,
    fleet_events: Broadcast<FleetEvent>,
    hints: Broadcast<FleetEventHint>,
    access_changes: Broadcast<AccessChange>,
    connected: Arc<watch::Sender<bool>>,
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
    async fn publish(&self, event: &StreamEvent) -> Result<(), BusError> {
        self.subscriptions.deliver(event.clone());
        Ok(())
    }

    async fn publish_fleet_event(&self, event: &FleetEvent) -> Result<(), BusError> {
        self.broadcast_locally(event.clone());
        Ok(())
    }

    fn broadcast_locally(&self, event: FleetEvent) {
        self.fleet_events.send(event);
    }

    fn fleet_events(&self) -> BroadcastReceiver<FleetEvent> {
        self.fleet_events.subscribe()
    }

    fn has_fleet_event_receivers(&self) -> bool {
        self.fleet_events.has_receivers()
    }

    fn fleet_event_hints(&self) -> BroadcastReceiver<FleetEventHint> {
        self.hints.subscribe()
    }

    async fn publish_access_change(&self, change: AccessChange) -> Result<(), BusError> {
        self.access_changes.send(change);
        Ok(())
    }

    fn access_changes(&self) -> BroadcastReceiver<AccessChange> {
        self.access_changes.subscribe()
    }

    fn subscribe(&self, command_id: CommandId) -> Subscription {
        let receiver = self.subscriptions.add(command_id);
        let subscriptions = Arc::clone(&self.subscriptions);
        Subscription::new(receiver, move || {
            subscriptions.remove_unused(command_id);
        })
    }

    fn subscribed_commands(&self) -> Vec<CommandId> {
        self.subscriptions.commands()
    }

    fn request_reread(&self, command_id: CommandId) {
        self.subscriptions.request_reread(command_id);
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }
}
