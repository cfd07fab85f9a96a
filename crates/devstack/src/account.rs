use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

use crate::command::run;
use crate::error::StackError;

/// The unprivileged user that servers run as when their owner is root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// `None` when this process is not root: servers then run as its own user.
    pub(crate) fn to_drop_to() -> Result<Option<Self>, StackError> {
        if !is_root()? {
            return Ok(None);
        }
        let path = "/etc/passwd";
        let passwd = fs::read_to_string(path).map_err(StackError::io("read", path))?;
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Self::in_passwd(&passwd, name))
            .map(Some)
            .ok_or(StackError::NoAccount)
    }

    /// Hands a file or directory to this user.
    pub(crate) fn give(self, path: &Path) -> Result<(), StackError> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(StackError::io("change owner of", path))
    }

    /// Whether this user gets through every directory of the path.
    pub(crate) fn can_reach(self, path: &Path) -> bool {
        path.ancestors().all(|directory| {
            fs::metadata(directory).is_ok_and(|metadata| {
                let mode = metadata.mode();
                mode & 0o001 != 0
                    || (metadata.uid() == self.uid && mode & 0o100 != 0)
                    || (metadata.gid() == self.gid && mode & 0o010 != 0)
            })
        })
    }

    fn in_passwd(passwd: &str, name: &str) -> Option<Self> {
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2);
        Some(Self {
            uid: ids.next()?.parse().ok()?,
            gid: ids.next()?.parse().ok()?,
        })
    }
}

/// The standard library has no `geteuid`, hence the program.
pub(crate) fn is_root() -> Result<bool, StackError> {
    Ok(run(Command::new("id").arg("-u"))?.trim() == "0")
}
