use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use sovd_domain::{CommandId, StreamEvent};
use tokio::sync::broadcast::{self, Receiver, Sender};

use crate::{bus::CommandSignal, hint::Hint};

/// The subscriptions of this process to the events of commands.
pub(crate) struct CommandSubscriptions {
    /// The number of signals that a subscriber may be behind before it must read the database.
    backlog: usize,
    commands: Mutex<HashMap<CommandId, Subscribers>>,
}

/// The subscribers of one command.
struct Subscribers {
    signals: Sender<CommandSignal>,
    /// The progress that this process's events have reported. Hints up to it are of no use.
    delivered: Option<Hint>,
}

impl CommandSubscriptions {
    pub(crate) fn new(backlog: usize) -> Self {
        Self {
            backlog: backlog.max(1),
            commands: Mutex::default(),
        }
    }

    pub(crate) fn add(&self, command_id: CommandId) -> Receiver<CommandSignal> {
        self.commands
            .lock()
            .entry(command_id)
            .or_insert_with(|| Subscribers {
                signals: broadcast::channel(self.backlog).0,
                delivered: None,
            })
            .signals
            .subscribe()
    }

    /// Removes the command if it has no subscribers.
    pub(crate) fn remove_unused(&self, command_id: CommandId) {
        let mut commands = self.commands.lock();
        let is_unused = |subscribers: &Subscribers| subscribers.signals.receiver_count() == 0;
        if commands.get(&command_id).is_some_and(is_unused) {
            commands.remove(&command_id);
        }
    }

    pub(crate) fn contains(&self, command_id: CommandId) -> bool {
        self.commands.lock().contains_key(&command_id)
    }

    pub(crate) fn deliver(&self, event: StreamEvent) {
        if let Some(subscribers) = self.commands.lock().get_mut(&event.command_id()) {
            subscribers.delivered = subscribers.delivered.max(Some(Hint::from(&event)));
            subscribers.send(CommandSignal::Event(Arc::new(event)));
        }
    }

    /// Delivers a hint unless this process's events have reported that progress.
    pub(crate) fn deliver_hint(&self, command_id: CommandId, hint: Hint) {
        if let Some(subscribers) = self.commands.lock().get(&command_id)
            && subscribers.delivered < Some(hint)
        {
            subscribers.send(CommandSignal::Hint(hint));
        }
    }

    pub(crate) fn request_reread(&self, command_id: CommandId) {
        if let Some(subscribers) = self.commands.lock().get(&command_id) {
            subscribers.send(CommandSignal::Reread);
        }
    }

    pub(crate) fn commands(&self) -> Vec<CommandId> {
        self.commands.lock().keys().copied().collect()
    }
}

impl Subscribers {
    fn send(&self, signal: CommandSignal) {
        // Fails if the last subscriber has just been dropped.
        let _ = self.signals.send(signal);
    }
}
