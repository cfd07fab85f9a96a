use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sovd_domain::{CommandId, StreamEvent};
use sovd_events::{BusError, EventBus, LocalBus, Subscription};

/// A bus that remembers what it carried, so that a test need not subscribe in time.
pub(crate) struct Recording {
    bus: LocalBus,
    events: Mutex<Vec<StreamEvent>>,
}

impl Recording {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            bus: LocalBus::new(64),
            events: Mutex::default(),
        })
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
impl EventBus for Recording {
    async fn publish(&self, event: &StreamEvent) -> Result<(), BusError> {
        self.events.lock().unwrap().push(event.clone());
        self.bus.publish(event).await
    }

    fn subscribe(&self, command_id: CommandId) -> Subscription {
        self.bus.subscribe(command_id)
    }

    async fn ping(&self) -> Result<(), BusError> {
        self.bus.ping().await
    }
}
