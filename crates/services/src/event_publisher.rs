use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sovd_domain::{AccessChange, Command, FleetEvent, StreamEvent};
use sovd_events::{BusError, EventBus, Message};
use tokio::{
    sync::{
        mpsc::{self, Receiver, Sender},
        oneshot,
    },
    time::timeout,
};

/// Messages that may wait for the bus. Subscribers read the database when they miss some.
const CAPACITY: usize = 4096;

/// Messages that are sent in one round trip.
const BATCH: usize = 128;

/// Time that [`EventPublisher::flush`] waits, and delay between two attempts to reach the bus.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Publishes committed changes on the event bus, in order and in the background, so that no request and
/// no dispatcher waits for a slow bus. Clones share the queue.
#[derive(Clone)]
pub struct EventPublisher {
    requests: Sender<Request>,
    has_lost: Arc<AtomicBool>,
}

enum Request {
    Publish(Message),
    /// Answered once everything before it is published.
    Mark(oneshot::Sender<()>),
}

impl EventPublisher {
    /// Creates a publisher whose task runs on the current runtime and ends with the last clone.
    pub fn new(bus: Arc<dyn EventBus>) -> Self {
        let (requests, receiver) = mpsc::channel(CAPACITY);
        let has_lost = Arc::default();
        tokio::spawn(run(bus, receiver, Arc::clone(&has_lost)));
        Self { requests, has_lost }
    }

    /// Publishes an event to the followers of its command.
    pub(crate) fn publish(&self, event: StreamEvent) {
        self.send(Message::Event(event));
    }

    /// Publishes the state of a command to its followers and to the watchers of the fleet.
    pub(crate) fn publish_state(&self, command: &Command) {
        if let Some(event) = StreamEvent::of_state(command) {
            self.publish(event);
        }
        self.send(Message::FleetEvent(command.into()));
    }

    /// Invalidates the credential caches of other processes.
    pub(crate) fn publish_access_change(&self, change: AccessChange) {
        self.send(Message::AccessChange(change));
    }

    fn send(&self, message: Message) {
        if let Err(error) = self.requests.try_send(Request::Publish(message)) {
            let lost = error.into_inner();
            if matches!(
                lost,
                Request::Publish(Message::FleetEvent(_) | Message::AccessChange(_))
            ) {
                self.has_lost.store(true, Ordering::Relaxed);
            }
            tracing::debug!("event not published: queue full");
        }
    }

    /// Waits until everything sent before is published, for 1 s at most.
    pub async fn flush(&self) {
        let flushed = async {
            let (mark, reached) = oneshot::channel();
            if self.requests.send(Request::Mark(mark)).await.is_ok() {
                let _ = reached.await;
            }
        };
        let _ = timeout(TIMEOUT, flushed).await;
    }
}

async fn run(bus: Arc<dyn EventBus>, mut requests: Receiver<Request>, has_lost: Arc<AtomicBool>) {
    let mut received = Vec::with_capacity(BATCH);
    loop {
        let count = if has_lost.load(Ordering::Relaxed) {
            if publish_loss(bus.as_ref()).await.is_ok() {
                has_lost.store(false, Ordering::Relaxed);
                continue;
            }
            discard(&mut requests);
            let receive = requests.recv_many(&mut received, BATCH);
            match timeout(TIMEOUT, receive).await {
                Ok(count) => count,
                Err(_) => continue,
            }
        } else {
            requests.recv_many(&mut received, BATCH).await
        };
        if count == 0 {
            return;
        }
        let (mut messages, mut marks) = (Vec::with_capacity(count), Vec::new());
        for request in received.drain(..) {
            match request {
                Request::Publish(message) => messages.push(message),
                Request::Mark(mark) => marks.push(mark),
            }
        }
        if let Err(error) = bus.publish_all(&messages).await {
            tracing::warn!(%error, "failed to publish events; subscribers will read the database");
            has_lost.store(true, Ordering::Relaxed);
        }
        for mark in marks {
            // The flush may have timed out.
            let _ = mark.send(());
        }
    }
}

/// Makes dashboards fetch the fleet again, and credential caches start empty.
async fn publish_loss(bus: &dyn EventBus) -> Result<(), BusError> {
    bus.publish_access_change(AccessChange::Unknown).await?;
    bus.publish_fleet_event(&FleetEvent::Resync).await
}

/// Discards what waited behind a failure: it is stale, and in the database.
fn discard(requests: &mut Receiver<Request>) {
    while let Ok(request) = requests.try_recv() {
        if let Request::Mark(mark) = request {
            let _ = mark.send(());
        }
    }
}
