use std::process::Command;

use nix::unistd::geteuid;

use crate::error::StackError;
use crate::search_path::SearchPath;

/// The packages of PostgreSQL and Redis, and the command that installs packages.
const POSTGRES: &str = if ON_MACOS {
    "postgresql@17"
} else {
    "postgresql"
};
const REDIS: &str = if ON_MACOS { "redis" } else { "redis-server" };
const INSTALL: &str = if ON_MACOS {
    "brew install"
} else {
    "apt-get update && apt-get install -y"
};
const ON_MACOS: bool = cfg!(target_os = "macos");

/// Installs the missing servers with apt or Homebrew and returns a message about the outcome.
///
/// # Errors
///
/// Returns [`StackError::Command`] if the package manager fails, and [`StackError::TooOld`] if its
/// PostgreSQL is too old.
pub fn install() -> Result<String, StackError> {
    let missing = missing(&SearchPath::system());
    if missing.is_empty() {
        return Ok("PostgreSQL and Redis are already installed".to_owned());
    }
    let line = format!("{INSTALL} {}", missing.join(" "));
    let mut command = Command::new("sh");
    if !ON_MACOS && !geteuid().is_root() {
        command = Command::new("sudo");
        command.arg("sh");
    }
    // Set by the shell, because sudo clears the environment.
    command.args([
        "-c",
        &format!("export DEBIAN_FRONTEND=noninteractive; {line}"),
    ]);
    let status = command
        .status()
        .map_err(StackError::io("run", command.get_program()))?;
    if !status.success() {
        return Err(StackError::Command {
            program: line,
            status,
            output: format!("see above; as root, run: {}", install_line()),
        });
    }
    let search_path = SearchPath::system();
    search_path.postgres()?;
    search_path.redis()?;
    Ok(format!("installed {}", missing.join(" and ")))
}

/// The shell command that installs both servers on this system.
pub(crate) fn install_line() -> String {
    format!("{INSTALL} {POSTGRES} {REDIS}")
}

fn missing(search_path: &SearchPath) -> Vec<&'static str> {
    let postgres = search_path.postgres().is_err().then_some(POSTGRES);
    let redis = search_path.redis().is_err().then_some(REDIS);
    postgres.into_iter().chain(redis).collect()
}
