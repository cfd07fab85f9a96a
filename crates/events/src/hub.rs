use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sovd_domain::{CommandId, StreamEvent};
use tokio::sync::broadcast::{self, Receiver, Sender};

use crate::bus::Signal;

/// Spreads signals among the watchers of this process.
pub(crate) struct Hub {
    /// How many signals a watcher may be behind before it is sent to the database.
    backlog: usize,

    watched: Mutex<HashMap<CommandId, Sender<Signal>>>,
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
            .or_insert_with(|| broadcast::channel(self.backlog).0)
            .subscribe()
    }

    /// Forgets the command if nobody watches it any more.
    pub(crate) fn forget_unwatched(&self, command_id: CommandId) {
        let mut watched = self.lock();
        let is_unwatched = |sender: &Sender<Signal>| sender.receiver_count() == 0;
        if watched.get(&command_id).is_some_and(is_unwatched) {
            watched.remove(&command_id);
        }
    }

    pub(crate) fn is_watched(&self, command_id: CommandId) -> bool {
        self.lock().contains_key(&command_id)
    }

    pub(crate) fn deliver(&self, event: StreamEvent) {
        let command_id = event.command_id();
        self.send(command_id, Signal::Event(Arc::new(event)));
    }

    pub(crate) fn reread(&self, command_id: CommandId) {
        self.send(command_id, Signal::Reread);
    }

    pub(crate) fn watched(&self) -> Vec<CommandId> {
        self.lock().keys().copied().collect()
    }

    fn send(&self, command_id: CommandId, signal: Signal) {
        if let Some(sender) = self.lock().get(&command_id) {
            // Fails when the last watcher has just gone, which is no loss.
            let _ = sender.send(signal);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CommandId, Sender<Signal>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
