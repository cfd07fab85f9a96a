mod file;

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sovd_domain::{CommandId, Vin};

use self::file::JournalFile;
use super::fault_memory::{Erased, FaultMemory};
use crate::request::CommandRequest;

/// What simulated vehicles were sent, in that order, and with it which faults they still have.
/// Clones share one journal.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Storage>);

/// One command that was sent to a simulated vehicle; in a file one line of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Identifies the command; the same for every attempt.
    pub command_id: CommandId,
    /// The name in the catalogue.
    pub command_name: String,
    /// The vehicle.
    #[serde(with = "vin_as_text")]
    pub vin: Vin,
    /// The parameters as they were sent.
    pub params: Value,
    /// Whether the vehicle did what it was told.
    pub acted: bool,
}

impl JournalEntry {
    pub(super) fn new(request: &CommandRequest, acted: bool) -> Self {
        Self {
            command_id: request.command_id,
            command_name: request.command_name.clone(),
            vin: request.vin.clone(),
            params: request.params.clone(),
            acted,
        }
    }
}

impl Journal {
    /// How many entries a journal in memory keeps: a server that runs for months must not fill
    /// its memory with them. Faults stay erased all the same.
    pub const KEPT_IN_MEMORY: usize = 10_000;

    /// A journal that ends with the process and has the latest [`Self::KEPT_IN_MEMORY`] entries.
    pub fn in_memory() -> Self {
        Self(Arc::new(Storage::Memory(Mutex::default())))
    }

    /// A journal in the file at `path`, which the first entry creates. Any number of processes may
    /// share the file, and an entry outlives the process that wrote it.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Storage::File(JournalFile::new(path.into()))))
    }

    /// The entries, the oldest first. A file that does not exist yet has none; a line that its
    /// writer did not finish is left out, because that command was not sent.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds a line that is no entry.
    pub fn entries(&self) -> io::Result<Vec<JournalEntry>> {
        match self.0.as_ref() {
            Storage::Memory(kept) => Ok(lock(kept).entries.iter().cloned().collect()),
            Storage::File(file) => file.entries(),
        }
    }

    /// Adds `entry`. On an error there is no such entry.
    pub(super) fn record(&self, entry: JournalEntry) -> io::Result<()> {
        match self.0.as_ref() {
            Storage::Memory(kept) => {
                lock(kept).add(entry);
                Ok(())
            }
            Storage::File(file) => file.append(&entry),
        }
    }

    /// What was erased in the ECU that `params` address.
    pub(super) fn erased(&self, vin: &Vin, params: &Value) -> io::Result<Erased> {
        match self.0.as_ref() {
            Storage::Memory(kept) => Ok(lock(kept).faults.erased(vin, params)),
            Storage::File(file) => file.erased(vin, params),
        }
    }
}

#[derive(Debug)]
enum Storage {
    Memory(Mutex<Kept>),
    File(JournalFile),
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<JournalEntry>,
    faults: FaultMemory,
}

impl Kept {
    fn add(&mut self, entry: JournalEntry) {
        self.faults.learn(&entry);
        if self.entries.len() == Journal::KEPT_IN_MEMORY {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}

/// A panic elsewhere leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

mod vin_as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use sovd_domain::Vin;

    pub(super) fn serialize<S: Serializer>(vin: &Vin, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(vin)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vin, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
