use std::{
    slice,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use sovd_domain::{CommandId, StreamEvent};
use sovd_events::{BusError, EventBus, LocalBus, Message};
use tokio::sync::watch;

/// A local bus that records the command events published on it.
pub(crate) struct RecordingBus {
    bus: LocalBus,
    events: Mutex<Vec<StreamEvent>>,
    drops_messages: AtomicBool,
    hears: watch::Sender<bool>,
}

impl RecordingBus {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            bus: LocalBus::new(64),
            events: Mutex::default(),
            drops_messages: AtomicBool::new(false),
            hears: watch::Sender::new(true),
        })
    }

    /// Drops all messages from now on; `is_known` tells whether the bus reports it.
    pub(crate) fn drop_messages(&self, is_known: bool) {
        self.drops_messages.store(true, Ordering::Relaxed);
        self.hears.send_replace(!is_known);
    }

    /// Delivers all messages again.
    pub(crate) fn deliver_messages(&self) {
        self.drops_messages.store(false, Ordering::Relaxed);
        self.hears.send_replace(true);
    }

    /// Returns the published events of a command, in order.
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
    fn local(&self) -> &LocalBus {
        &self.bus
    }

    async fn publish_all(&self, messages: &[Message]) -> Result<(), BusError> {
        let drops_messages = self.drops_messages.load(Ordering::Relaxed);
        for message in messages {
            match message {
                Message::Event(event) => self.events.lock().unwrap().push(event.clone()),
                Message::FleetEvent(_) if drops_messages => {
                    return Err(BusError::Unavailable("messages are dropped".to_owned()));
                }
                _ => {}
            }
            let is_dropped = drops_messages && matches!(message, Message::Event(_));
            if !is_dropped {
                self.bus.publish_all(slice::from_ref(message)).await?;
            }
        }
        Ok(())
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.hears.subscribe()
    }

    async fn ping(&self) -> Result<(), BusError> {
        self.bus.ping().await
    }
}
