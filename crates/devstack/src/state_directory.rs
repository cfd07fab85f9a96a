use std::env;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::StackError;

/// `target/devstack`: the data of all running instances, and the cache.
///
/// Root's servers run under an account that may be unable to enter the target directory, for
/// example below a closed home. Then it is `sovd-devstack-0` in the system's temporary directory.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    pub(crate) path: PathBuf,
    pub(crate) account: Option<Account>,
}

impl StateDirectory {
    pub(crate) fn open() -> Result<Self, StackError> {
        let account = Account::to_drop_to()?;
        let mut path = create(&target_directory().join("devstack"))?;
        if let Some(account) = account
            && !account.can_reach(&path)
        {
            let fallback = env::temp_dir().join("sovd-devstack-0");
            path = create(&fallback)?;
            refuse_foreign(&fallback)?;
        }
        Ok(Self { path, account })
    }

    /// Clusters to copy from; it outlives every instance.
    pub(crate) fn cache(&self) -> Result<PathBuf, StackError> {
        let cache = create(&self.path.join("cache"))?;
        self.give(&cache)?;
        Ok(cache)
    }

    pub(crate) fn give(&self, path: &Path) -> Result<(), StackError> {
        self.account.map_or(Ok(()), |account| account.give(path))
    }
}

/// Opens a file and waits until no other process holds its lock.
pub(crate) fn lock(path: &Path) -> Result<File, StackError> {
    let file = File::create(path).map_err(StackError::io("create", path))?;
    file.lock().map_err(StackError::io("lock", path))?;
    Ok(file)
}

fn create(path: &Path) -> Result<PathBuf, StackError> {
    if !path.is_dir() {
        fs::create_dir_all(path).map_err(StackError::io("create", path))?;
        // The umask may have closed it to the account.
        fs::set_permissions(path, Permissions::from_mode(0o755))
            .map_err(StackError::io("open up", path))?;
    }
    path.canonicalize().map_err(StackError::io("find", path))
}

/// Anybody may write to the temporary directory, so the name may be a trap.
fn refuse_foreign(path: &Path) -> Result<(), StackError> {
    let metadata = fs::symlink_metadata(path).map_err(StackError::io("read", path))?;
    if metadata.is_dir() && metadata.uid() == 0 {
        return Ok(());
    }
    let source = std::io::Error::other("it is not a directory of root's");
    Err(StackError::io("use", path)(source))
}

/// Where cargo builds. Cargo takes a relative `CARGO_TARGET_DIR` from where it was called, which
/// a test cannot know; the workspace's root is the usual place.
fn target_directory() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = manifest.ancestors().nth(2).unwrap_or(manifest);
    match env::var_os("CARGO_TARGET_DIR") {
        Some(target) if !target.is_empty() => workspace.join(target),
        _ => workspace.join("target"),
    }
}
