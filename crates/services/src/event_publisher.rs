use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sovd_domain::{AccessChange, Command, FleetEvent, StreamEvent};
use sovd_events::{BusError, EventBus};
use tokio::{
    sync::{
        mpsc::{self, Receiver, Sender},
        oneshot,
    },
    time::timeout,
};

/// How many events may wait for the bus. Whoever watches reads the database when some are missing.
const CAPACITY: usize = 4096;

/// How long the last events may take at shutdown.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes events to the bus in order, so that nobody who talks to a vehicle, claims work or asks the
/// API waits for a bus that is slow or away. Clones share it.
#[derive(Clone)]
pub struct EventPublisher {
    letters: Sender<Message>,
    lost: Arc<AtomicBool>,
}

enum Message {
    Event(StreamEvent),
    FleetEvent(FleetEvent),
    AccessChange(AccessChange),
    /// To be answered when everything before it is done.
    Mark(oneshot::Sender<()>),
}

impl EventPublisher {
    /// An outbox whose task, on the runtime that calls this, ends with its last clone.
    pub fn new(bus: Arc<dyn EventBus>) -> Self {
        let (letters, receiver) = mpsc::channel(CAPACITY);
        let lost = Arc::default();
        tokio::spawn(post(bus, receiver, Arc::clone(&lost)));
        Self { letters, lost }
    }

    /// Sends an event on its way.
    pub(crate) fn publish(&self, event: StreamEvent) {
        self.send(Message::Event(event));
    }

    /// Tells the state of a command to those who watch it and to those who watch the fleet.
    pub(crate) fn publish_state(&self, command: &Command) {
        if let Some(event) = StreamEvent::of_state(command) {
            self.publish(event);
        }
        self.send(Message::FleetEvent(command.into()));
    }

    /// Tells other processes whose rights have to be looked up again.
    pub(crate) fn publish_access_change(&self, change: AccessChange) {
        self.send(Message::AccessChange(change));
    }

    fn send(&self, letter: Message) {
        if let Err(error) = self.letters.try_send(letter) {
            if matches!(
                error.into_inner(),
                Message::FleetEvent(_) | Message::AccessChange(_)
            ) {
                self.lost.store(true, Ordering::Relaxed);
            }
            tracing::debug!("the bus is behind, an event is left to the database");
        }
    }

    /// Waits until what was put before is out, though not for long.
    pub async fn flush(&self) {
        let emptied = async {
            let (mark, reached) = oneshot::channel();
            if self.letters.send(Message::Mark(mark)).await.is_ok() {
                let _ = reached.await;
            }
        };
        let _ = timeout(PATIENCE, emptied).await;
    }
}

async fn post(bus: Arc<dyn EventBus>, mut letters: Receiver<Message>, lost: Arc<AtomicBool>) {
    loop {
        let letter = if lost.load(Ordering::Relaxed) {
            // Whoever shows the fleet has to fetch it again, and whoever remembers callers has to ask
            // again, as soon as they can be told.
            if tell_loss(bus.as_ref()).await.is_ok() {
                lost.store(false, Ordering::Relaxed);
                continue;
            }
            discard(&mut letters);
            match timeout(PATIENCE, letters.recv()).await {
                Ok(letter) => letter,
                Err(_) => continue,
            }
        } else {
            letters.recv().await
        };
        let published = match letter {
            None => return,
            Some(Message::Event(event)) => bus.publish(&event).await,
            Some(Message::FleetEvent(news)) => bus.publish_fleet_event(&news).await,
            Some(Message::AccessChange(change)) => bus.publish_access_change(change).await,
            Some(Message::Mark(mark)) => {
                let _ = mark.send(());
                Ok(())
            }
        };
        if let Err(error) = published {
            tracing::warn!(%error, "events are delayed");
            lost.store(true, Ordering::Relaxed);
        }
    }
}

async fn tell_loss(bus: &dyn EventBus) -> Result<(), BusError> {
    bus.publish_access_change(AccessChange::Unknown).await?;
    bus.publish_fleet_event(&FleetEvent::Resync).await
}

/// What waited behind a failure is old by now, and in the database.
fn discard(letters: &mut Receiver<Message>) {
    while let Ok(letter) = letters.try_recv() {
        if let Message::Mark(mark) = letter {
            let _ = mark.send(());
        }
    }
}
