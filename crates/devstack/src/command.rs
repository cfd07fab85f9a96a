use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::account::Account;
use crate::error::StackError;

/// A command that a server's account may run: a working directory it can enter, and a locale that
/// every system has.
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

/// Runs a command to its end and gives what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String, StackError> {
    let program = command.get_program().to_os_string();
    let output = command.output().map_err(StackError::io("run", &program))?;
    if !output.status.success() {
        return Err(StackError::Command {
            program: program.to_string_lossy().into_owned(),
            status: output.status,
            output: tail(&output.stderr),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Sends a signal to a child that has not been waited for, so that its id is still its own.
pub(crate) fn signal(name: &str, pid: u32) -> Result<(), StackError> {
    let pid = pid.to_string();
    run(Command::new("sh").args(["-c", r#"kill -"$1" "$2""#, "kill", name, &pid])).map(drop)
}

/// The last lines of a log, on one line.
pub(crate) fn tail(log: &[u8]) -> String {
    const LINES: usize = 12;
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let start = lines.len().saturating_sub(LINES);
    lines.get(start..).unwrap_or_default().join(" | ")
}
