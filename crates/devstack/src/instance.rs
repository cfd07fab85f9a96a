use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::StackError;
use crate::state_directory::{StateDirectory, lock};

const OWNER_LOCK: &str = "owner.lock";

/// The directory of one running server. Its owner holds a lock in it, which the system releases
/// when the owner ends, however it ends.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) directory: PathBuf,
    pub(crate) account: Option<Account>,
    _owner_lock: File,
}

impl Instance {
    /// Makes a new directory, and removes those of owners that are gone.
    pub(crate) fn create(state: &StateDirectory, server: &str) -> Result<Self, StackError> {
        // Without the guard, somebody could sweep a new directory before its lock is taken.
        let _guard = lock(&state.path.join("guard.lock"))?;
        sweep(&state.path)?;
        let directory = state
            .path
            .join(format!("{server}-{:016x}", getrandom::u64()?));
        fs::create_dir(&directory).map_err(StackError::io("create", &directory))?;
        fs::set_permissions(&directory, Permissions::from_mode(0o755))
            .map_err(StackError::io("open up", &directory))?;
        state.give(&directory)?;
        let owner_lock = lock(&directory.join(OWNER_LOCK))?;
        Ok(Self {
            directory,
            account: state.account,
            _owner_lock: owner_lock,
        })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }
}

fn sweep(state: &Path) -> Result<(), StackError> {
    let entries = fs::read_dir(state).map_err(StackError::io("read", state))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("cache") && is_abandoned(&path) {
            // The owner's watchdog may be removing it as well: whoever is first.
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

fn is_abandoned(directory: &Path) -> bool {
    File::open(directory.join(OWNER_LOCK)).is_ok_and(|file| file.try_lock().is_ok())
}
