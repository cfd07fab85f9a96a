use std::env;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::StackError;
use crate::process::{Account, command_as, run};
use crate::search_path::PostgresBinaries;

/// The directory of one running server.
///
/// Its owner holds a file lock in it, which the operating system releases when the owner exits or
/// is killed.
#[derive(Debug)]
pub(crate) struct ServerDirectory {
    pub(crate) path: PathBuf,
    pub(crate) account: Option<Account>,
    _owner_lock: File,
}

const OWNER_LOCK: &str = "owner.lock";
const CACHE: &str = "cache";

impl ServerDirectory {
    /// Creates a directory, and removes those whose owners have exited.
    pub(crate) fn create(server: &str) -> Result<Self, StackError> {
        let account = Account::unprivileged()?;
        let root = root(account)?;
        // Keeps another process from removing the new directory before its lock is taken.
        let _guard = lock(&root.join("guard.lock"))?;
        remove_abandoned(&root)?;
        let random = random_number()?;
        let path = create(&root.join(format!("{server}-{random:016x}")), account)?;
        let owner_lock = lock(&path.join(OWNER_LOCK))?;
        Ok(Self {
            path,
            account,
            _owner_lock: owner_lock,
        })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    /// Creates a PostgreSQL cluster in [`data`](Self::data).
    ///
    /// `initdb` takes a second or more, so it runs once per version of PostgreSQL; its result is
    /// cached and copied. Settings are passed on the command line of the server instead.
    pub(crate) fn create_cluster(&self, binaries: &PostgresBinaries) -> Result<(), StackError> {
        let cached = self.cached_cluster(binaries)?;
        let mut copy = command_as(self.account, Path::new("cp"));
        run(copy.arg("-Rp").args([cached, self.data()]))
    }

    fn cached_cluster(&self, binaries: &PostgresBinaries) -> Result<PathBuf, StackError> {
        let cache = create(&self.path.with_file_name(CACHE), self.account)?;
        // A cluster belongs to the account of the server.
        let owner = self
            .account
            .map_or("own".to_owned(), |account| account.uid.to_string());
        let name = format!("postgres-{}-{owner}", binaries.name);
        let cluster = cache.join(&name);
        let _guard = lock(&cache.join(format!("{name}.lock")))?;
        if cluster.is_dir() {
            return Ok(cluster);
        }
        let unfinished = cache.join(format!("{name}.unfinished"));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(StackError::io("remove", &unfinished))?;
        }
        let mut initdb = command_as(self.account, &binaries.initdb);
        initdb
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .args(["-U", "sovd", "-D"])
            .arg(&unfinished);
        run(&mut initdb)?;
        fs::rename(&unfinished, &cluster).map_err(StackError::io("rename", &unfinished))?;
        Ok(cluster)
    }
}

pub(crate) fn random_number() -> Result<u64, StackError> {
    getrandom::u64()
        .map_err(|error| StackError::io("read", "random bytes")(io::Error::other(error)))
}

/// Returns `target/devstack`, or `sovd-devstack-0` in the temporary directory if the account of the
/// servers cannot reach the target directory, for example below a private home directory.
fn root(account: Option<Account>) -> Result<PathBuf, StackError> {
    let root = create(&target_directory().join("devstack"), None)?;
    if account.is_none_or(|account| account.can_reach(&root)) {
        return Ok(root);
    }
    let fallback = env::temp_dir().join("sovd-devstack-0");
    let root = create(&fallback, None)?;
    // Any user can create an entry of this name in the temporary directory.
    let metadata = fs::symlink_metadata(&fallback).map_err(StackError::io("read", &fallback))?;
    if metadata.is_dir() && metadata.uid() == 0 {
        return Ok(root);
    }
    let source = io::Error::other("root does not own this directory");
    Err(StackError::io("use", fallback)(source))
}

/// Returns the target directory of cargo. Cargo resolves a relative `CARGO_TARGET_DIR` against its
/// working directory, which a test cannot know; the root of the workspace is the usual one.
fn target_directory() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = manifest.ancestors().nth(2).unwrap_or(manifest);
    match env::var_os("CARGO_TARGET_DIR") {
        Some(target) if !target.is_empty() => workspace.join(target),
        _ => workspace.join("target"),
    }
}

fn create(path: &Path, owner: Option<Account>) -> Result<PathBuf, StackError> {
    if !path.is_dir() {
        fs::create_dir_all(path).map_err(StackError::io("create", path))?;
        // The umask may deny access to the account.
        fs::set_permissions(path, Permissions::from_mode(0o755))
            .map_err(StackError::io("change mode of", path))?;
    }
    if let Some(account) = owner {
        account.own(path)?;
    }
    path.canonicalize().map_err(StackError::io("find", path))
}

fn remove_abandoned(root: &Path) -> Result<(), StackError> {
    let entries = fs::read_dir(root).map_err(StackError::io("read", root))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_abandoned =
            || File::open(path.join(OWNER_LOCK)).is_ok_and(|file| file.try_lock().is_ok());
        if path.is_dir() && !path.ends_with(CACHE) && is_abandoned() {
            // The watchdog of the owner may be removing it at the same time.
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

/// Opens a file and waits until no other process holds its lock.
fn lock(path: &Path) -> Result<File, StackError> {
    let file = File::create(path).map_err(StackError::io("create", path))?;
    file.lock().map_err(StackError::io("lock", path))?;
    Ok(file)
}
