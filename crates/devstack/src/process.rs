use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

use crate::error::StackError;

/// The unprivileged user that runs the servers if this process is root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    gid: u32,
}

impl Account {
    /// Returns `None` if this process is not root: servers then run as the current user.
    pub(crate) fn unprivileged() -> Result<Option<Self>, StackError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let user = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .ok_or(StackError::NoAccount)?;
        Ok(Some(Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        }))
    }

    /// Makes this user the owner of a file or directory.
    pub(crate) fn own(self, path: &Path) -> Result<(), StackError> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(StackError::io("change owner of", path))
    }

    /// Returns whether this user may traverse every directory of the path.
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
}

/// Returns a command that `account` can run: in a working directory that it may enter, and with a
/// locale that every system has.
pub(crate) fn command_as(account: Option<Account>, program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir("/")
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// Runs a command and waits until it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<(), StackError> {
    let program = command.get_program().to_os_string();
    let output = command.output().map_err(StackError::io("run", &program))?;
    if output.status.success() {
        return Ok(());
    }
    Err(StackError::Command {
        program: program.to_string_lossy().into_owned(),
        status: output.status,
        output: tail(&output.stderr),
    })
}

/// Sends a signal to a child that has not been reaped, so that its process ID is still its own.
pub(crate) fn send_signal(signal: Signal, pid: u32) -> Result<(), StackError> {
    kill(Pid::from_raw(pid.cast_signed()), signal)
        .map_err(|error| StackError::io("send a signal to", pid.to_string())(error.into()))
}

/// Returns the last lines of a log, joined by `|`.
pub(crate) fn tail(log: &[u8]) -> String {
    const LINES: usize = 12;
    let text = String::from_utf8_lossy(log);
    let lines = text.lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    lines.rchunks(LINES).next().unwrap_or_default().join(" | ")
}
