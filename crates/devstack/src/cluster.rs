use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{command_as, run};
use crate::error::StackError;
use crate::find::PostgresBinaries;
use crate::state_directory::{StateDirectory, lock};

/// Makes a new PostgreSQL cluster at `data`.
///
/// `initdb` takes a second or more, so it runs once per version of PostgreSQL; its result is
/// kept in the cache and copied. Settings are given on the server's command line and are no part
/// of it.
pub(crate) fn create_cluster(
    binaries: &PostgresBinaries,
    state: &StateDirectory,
    data: &Path,
) -> Result<(), StackError> {
    let pristine = pristine(binaries, state)?;
    let mut copy = command_as(state.account, Path::new("cp"));
    run(copy.arg("-Rp").args([pristine.as_path(), data])).map(drop)
}

fn pristine(binaries: &PostgresBinaries, state: &StateDirectory) -> Result<PathBuf, StackError> {
    let cache = state.cache()?;
    // The cluster belongs to the account, which is another one when root runs this.
    let owner = state
        .account
        .map_or("own".to_owned(), |account| account.uid.to_string());
    let name = format!("postgres-{}-{owner}", binaries.version);
    let pristine = cache.join(&name);
    let _guard = lock(&cache.join(format!("{name}.lock")))?;
    if pristine.is_dir() {
        return Ok(pristine);
    }
    let unfinished = cache.join(format!("{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(StackError::io("remove", &unfinished))?;
    }
    let mut initdb = command_as(state.account, &binaries.initdb);
    initdb.args([
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "-U",
        "sovd",
    ]);
    run(initdb.arg("-D").arg(&unfinished))?;
    fs::rename(&unfinished, &pristine).map_err(StackError::io("rename", &unfinished))?;
    Ok(pristine)
}
