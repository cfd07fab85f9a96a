use std::{sync::Arc, time::Duration};

use sovd_domain::StreamEvent;
use sovd_events::EventBus;
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
pub struct Outbox(Sender<Letter>);

enum Letter {
    Event(StreamEvent),
    /// To be answered when everything before it is done.
    Mark(oneshot::Sender<()>),
}

impl Outbox {
    /// An outbox whose task, on the runtime that calls this, ends with its last clone.
    pub fn new(bus: Arc<dyn EventBus>) -> Self {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        tokio::spawn(post(bus, receiver));
        Self(sender)
    }

    /// Sends an event on its way.
    pub(crate) fn put(&self, event: StreamEvent) {
        let command_id = event.command_id();
        if self.0.try_send(Letter::Event(event)).is_err() {
            tracing::debug!(%command_id, "the bus is behind, an event is left to the database");
        }
    }

    /// Waits until what was put before is out, though not for long.
    pub async fn flush(&self) {
        let emptied = async {
            let (mark, reached) = oneshot::channel();
            if self.0.send(Letter::Mark(mark)).await.is_ok() {
                let _ = reached.await;
            }
        };
        let _ = timeout(PATIENCE, emptied).await;
    }
}

async fn post(bus: Arc<dyn EventBus>, mut letters: Receiver<Letter>) {
    while let Some(letter) = letters.recv().await {
        match letter {
            Letter::Mark(mark) => {
                let _ = mark.send(());
            }
            Letter::Event(event) => {
                if let Err(error) = bus.publish(&event).await {
                    let command_id = event.command_id();
                    tracing::warn!(%error, %command_id, "events are delayed");
                    discard(&mut letters);
                }
            }
        }
    }
}

/// What waited behind a failure is old by now, and in the database.
fn discard(letters: &mut Receiver<Letter>) {
    while let Ok(letter) = letters.try_recv() {
        if let Letter::Mark(mark) = letter {
            let _ = mark.send(());
        }
    }
}
