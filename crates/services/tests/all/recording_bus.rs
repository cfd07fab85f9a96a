use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use sovd_domain::{AccessChange, CommandId, FleetEvent, StreamEvent};
use sovd_events::{BroadcastReceiver, BusError, EventBus, FleetEventHint, LocalBus, Subscription};
use tokio::sync::watch;

/// A bus that remembers what it carried, so that a test need not subscribe in time.
pub(crate) struct RecordingBus {
    bus: LocalBus,
    events: Mutex<Vec<StreamEvent>>,
    loses: AtomicBool,
    hears: watch::Sender<bool>,
}

impl RecordingBus {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            bus: LocalBus::new(64),
            events: Mutex::default(),
            loses: AtomicBool::new(false),
            hears: watch::Sender::new(true),
        })
    }

    /// From now on what is published reaches nobody; `is_known` if the bus notices.
    pub(crate) fn drop_messages(&self, is_known: bool) {
        self.loses.store(true, Ordering::Relaxed);
        self.hears.send_replace(!is_known);
    }

    /// From now on everything arrives again.
    pub(crate) fn deliver_messages(&self) {
        self.loses.store(false, Ordering::Relaxed);
        self.hears.send_replace(true);
    }

    /// What was published of a command so far, in order.
    pub(crate) fn events(&self, command_id: CommandId) -> Vec<StreamEvent> {
        let events = self.events.lock().unwrap();
        let own = events
            .iter()
            .filter(|event| event.command_id() == command_id);
        own.cloned().collect()
    }
}

#[async_trait]
impl EventBus for RecordingBus {
    async fn publish(&self, event: &StreamEvent) -> Result<(), BusError> {
        self.events.lock().unwrap().push(event.clone());
        if self.loses.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.bus.publish(event).await
    }

    fn subscribe(&self, command_id: CommandId) -> Subscription {
        self.bus.subscribe(command_id)
    }

    async fn publish_fleet_event(&self, news: &FleetEvent) -> Result<(), BusError> {
        if self.loses.load(Ordering::Relaxed) {
            return Err(BusError::Unavailable("it is lost".to_owned()));
        }
        self.bus.publish_fleet_event(news).await
    }

    fn broadcast_locally(&self, news: FleetEvent) {
        self.bus.broadcast_locally(news);
    }

    fn fleet_events(&self) -> BroadcastReceiver<FleetEvent> {
        self.bus.fleet_events()
    }

    fn has_fleet_event_receivers(&self) -> bool {
        self.bus.has_fleet_event_receivers()
    }

    fn fleet_event_hints(&self) -> BroadcastReceiver<FleetEventHint> {
        self.bus.fleet_event_hints()
    }

    async fn publish_access_change(&self, change: AccessChange) -> Result<(), BusError> {
        self.bus.publish_access_change(change).await
    }

    fn access_changes(&self) -> BroadcastReceiver<AccessChange> {
        self.bus.access_changes()
    }

    fn subscribed_commands(&self) -> Vec<CommandId> {
        self.bus.subscribed_commands()
    }

    fn request_reread(&self, command_id: CommandId) {
        self.bus.request_reread(command_id);
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.hears.subscribe()
    }

    async fn ping(&self) -> Result<(), BusError> {
        self.bus.ping().await
    }
}
