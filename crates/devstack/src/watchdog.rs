use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::error::StackError;

/// A shell that ends the server when its owner exits or is killed.
///
/// Its standard input is a pipe whose other end only the owner holds; the operating system closes
/// it even after `kill -9`. The server joins the process group of the watchdog before it executes
/// its first instruction, so the watchdog needs no process ID, which could have been reused. The
/// group differs from that of the terminal, so that Ctrl-C reaches the owner alone.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

/// A stopped process handles signals only after CONT. The PID file shows whether the server is
/// running, because its parent may be unable to reap it. The final KILL includes the shell itself.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
while read -r _; do :; done
kill -"$1" 0
kill -CONT 0
attempts=0
while [ -e "$2" ] && [ "$attempts" -lt 100 ]; do
    sleep 0.05
    attempts=$((attempts + 1))
done
rm -rf "$3"
kill -KILL 0
"#;

impl Watchdog {
    /// Starts a watchdog that sends `quit`, waits until `pid_file` no longer exists, and removes
    /// `directory`.
    pub(crate) fn start(
        quit: Signal,
        pid_file: &Path,
        directory: &Path,
    ) -> Result<Self, StackError> {
        let quit = quit.as_str().trim_start_matches("SIG");
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

    /// Makes the watchdog guard the process that `command` starts.
    pub(crate) fn guard(&self, command: &mut Command) {
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
