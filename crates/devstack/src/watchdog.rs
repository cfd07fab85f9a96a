use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::StackError;

/// A small shell that ends the server when its owner ends.
///
/// Its standard input is a pipe whose other end only the owner holds; the system closes it even
/// after `kill -9`. The server joins the watchdog's process group before it runs its first
/// instruction, so there is no moment at which the watchdog could miss it, and no process id
/// that could have passed to a stranger. The group is not the terminal's, so that Ctrl-C reaches
/// the owner alone.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

/// A stopped process acts on signals only after CONT. The pid file stands for "still running",
/// because nobody may be left to reap the server. The last KILL takes the shell itself along.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
while read -r _; do :; done
kill -"$1" 0
kill -CONT 0
tries=0
while [ -e "$2" ] && [ "$tries" -lt 100 ]; do
    sleep 0.05
    tries=$((tries + 1))
done
rm -rf "$3"
kill -KILL 0
"#;

impl Watchdog {
    /// `quit` is the signal that makes the server forget its data and go, `pid_file` exists
    /// while it runs, `directory` is removed at last.
    pub(crate) fn start(quit: &str, pid_file: &Path, directory: &Path) -> Result<Self, StackError> {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "devstack-watchdog", quit])
            .args([pid_file, directory])
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(StackError::io("start", "sh"))?;
        Ok(Self { shell })
    }

    /// Puts the server that this command starts under the watchdog's care.
    pub(crate) fn adopt(&self, command: &mut Command) {
        command.process_group(self.shell.id().cast_signed());
    }

    /// Makes the watchdog act now.
    pub(crate) fn release(&mut self) {
        drop(self.shell.stdin.take());
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.release();
        let _ = self.shell.wait();
    }
}
