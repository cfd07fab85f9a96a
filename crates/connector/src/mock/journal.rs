mod file;

use std::{collections::VecDeque, io, path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sovd_domain::{CommandId, Vin};

use self::file::JournalFile;
use super::fault_memory::{ClearedCodes, FaultMemory};
use crate::request::CommandRequest;

/// The commands that were sent to simulated vehicles, in order; their fault memory is derived from it.
/// Clones share one journal.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Storage>);

/// One command that was sent to a simulated vehicle; a line of JSON in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The ID of the command; the same for every attempt.
    pub command_id: CommandId,
    /// The command's name in the catalog.
    pub command_name: String,
    /// The vehicle.
    pub vin: Vin,
    /// The parameters.
    pub params: Value,
    /// Whether the vehicle executed the command.
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
    /// The number of entries that a journal in memory retains, so that its size is bounded. Cleared
    /// trouble codes are retained without limit.
    pub const MEMORY_CAPACITY: usize = 10_000;

    /// Creates a journal in memory that retains the latest [`Self::MEMORY_CAPACITY`] entries.
    pub fn in_memory() -> Self {
        Self(Arc::new(Storage::Memory(Mutex::default())))
    }

    /// Creates a journal in the file at `path`, which the first entry creates. Any number of processes
    /// can share the file, and an entry persists even if its writer is killed.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Storage::File(JournalFile::new(path.into()))))
    }

    /// Returns the entries, oldest first. A file that does not exist has none; a line that its writer
    /// did not finish is skipped, because that command was not sent.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or contains a line that is not an entry.
    pub fn entries(&self) -> io::Result<Vec<JournalEntry>> {
        match self.0.as_ref() {
            Storage::Memory(memory) => Ok(memory.lock().entries.iter().cloned().collect()),
            Storage::File(file) => file.entries(),
        }
    }

    /// Appends `entry`; on an error, the journal is unchanged.
    pub(super) fn record(&self, entry: JournalEntry) -> io::Result<()> {
        match self.0.as_ref() {
            Storage::Memory(memory) => {
                memory.lock().add(entry);
                Ok(())
            }
            Storage::File(file) => file.append(&entry),
        }
    }

    /// Returns the cleared trouble codes of the ECU that `params` address.
    pub(super) fn cleared_codes(&self, vin: &Vin, params: &Value) -> io::Result<ClearedCodes> {
        match self.0.as_ref() {
            Storage::Memory(memory) => Ok(memory.lock().faults.cleared_codes(vin, params)),
            Storage::File(file) => file.cleared_codes(vin, params),
        }
    }
}

#[derive(Debug)]
enum Storage {
    Memory(Mutex<Memory>),
    File(JournalFile),
}

#[derive(Debug, Default)]
struct Memory {
    entries: VecDeque<JournalEntry>,
    faults: FaultMemory,
}

impl Memory {
    fn add(&mut self, entry: JournalEntry) {
        self.faults.apply(&entry);
        if self.entries.len() == Journal::MEMORY_CAPACITY {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}
