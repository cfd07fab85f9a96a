use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sovd_domain::{CommandId, StreamEvent};
use tokio::sync::broadcast::{self, Receiver, Sender};

use crate::{bus::Signal, hint::Hint};

/// Spreads signals among the watchers of this process.
pub(crate) struct Hub {
    /// How many signals a watcher may be behind before it is sent to the database.
    backlog: usize,

    watched: Mutex<HashMap<CommandId, Watched>>,
}

/// One watched command.
struct Watched {
    signals: Sender<Signal>,
    /// How far the events of this process have come. Hints up to there are echoes of them, or say
    /// nothing new.
    delivered: Option<Hint>,
}

impl Hub {
    pub(crate) fn new(backlog: usize) -> Self {
        Self {
            backlog: backlog.max(1),
            watched: Mutex::default(),
        }
    }

    pub(crate) fn watch(&self, command_id: CommandId) -> Receiver<Signal> {
        self.lock()
            .entry(command_id)
            .or_insert_with(|| Watched {
                signals: broadcast::channel(self.backlog).0,
                delivered: None,
            })
            .signals
            .subscribe()
    }

    /// Forgets the command if nobody watches it any more.
    pub(crate) fn forget_unwatched(&self, command_id: CommandId) {
        let mut watched = self.lock();
        let is_unwatched = |one: &Watched| one.signals.receiver_count() == 0;
        if watched.get(&command_id).is_some_and(is_unwatched) {
            watched.remove(&command_id);
        }
    }

    pub(crate) fn is_watched(&self, command_id: CommandId) -> bool {
        self.lock().contains_key(&command_id)
    }

    pub(crate) fn deliver(&self, event: StreamEvent) {
        if let Some(watched) = self.lock().get_mut(&event.command_id()) {
            watched.delivered = watched.delivered.max(Some(Hint::from(&event)));
            watched.send(Signal::Event(Arc::new(event)));
        }
    }

    /// Passes on a hint, unless the events of this process have said as much.
    pub(crate) fn hint(&self, command_id: CommandId, hint: Hint) {
        if let Some(watched) = self.lock().get(&command_id)
            && watched.delivered < Some(hint)
        {
            watched.send(Signal::Hint(hint));
        }
    }

    pub(crate) fn reread(&self, command_id: CommandId) {
        if let Some(watched) = self.lock().get(&command_id) {
            watched.send(Signal::Reread);
        }
    }

    pub(crate) fn watched(&self) -> Vec<CommandId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CommandId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn send(&self, signal: Signal) {
        // Fails when the last watcher has just gone, which is no loss.
        let _ = self.signals.send(signal);
    }
}
