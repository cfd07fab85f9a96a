use std::fmt;
use std::process::Command;

use crate::account::is_root;
use crate::error::StackError;
use crate::find::SearchPath;

const ON_MACOS: bool = cfg!(target_os = "macos");

/// What [`install`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// PostgreSQL and Redis were there already.
    Nothing,
    /// These packages of the system's package manager.
    Packages(Vec<&'static str>),
}

impl fmt::Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("PostgreSQL and Redis are installed already"),
            Self::Packages(packages) => write!(f, "installed {}", packages.join(" and ")),
        }
    }
}

/// Installs those servers that are missing, with apt or Homebrew, which print as they go.
///
/// # Errors
///
/// Without a package manager or the right to use it, when it fails, and when the PostgreSQL it
/// has is too old.
pub fn install() -> Result<Installed, StackError> {
    let missing = missing(&SearchPath::system());
    if missing.is_empty() {
        return Ok(Installed::Nothing);
    }
    if ON_MACOS {
        run_visibly(Command::new("brew").arg("install").args(&missing))?;
    } else {
        let sudo = needs_sudo()?;
        run_visibly(apt_get(sudo).arg("update"))?;
        run_visibly(apt_get(sudo).args(["install", "-y"]).args(&missing))?;
    }
    let search_path = SearchPath::system();
    search_path.postgres()?;
    search_path.redis()?;
    Ok(Installed::Packages(missing))
}

/// The one line that installs both servers on this system.
pub(crate) fn install_line() -> &'static str {
    if ON_MACOS {
        "brew install postgresql@17 redis"
    } else {
        "apt-get update && apt-get install -y postgresql redis-server"
    }
}

fn missing(search_path: &SearchPath) -> Vec<&'static str> {
    let (postgres, redis) = if ON_MACOS {
        ("postgresql@17", "redis")
    } else {
        ("postgresql", "redis-server")
    };
    let mut packages = Vec::new();
    if search_path.postgres().is_err() {
        packages.push(postgres);
    }
    if search_path.redis().is_err() {
        packages.push(redis);
    }
    packages
}

fn needs_sudo() -> Result<bool, StackError> {
    if !runs("apt-get") {
        return Err(StackError::CannotInstall {
            reason: "there is no apt-get",
        });
    }
    if is_root()? {
        return Ok(false);
    }
    if !runs("sudo") {
        return Err(StackError::CannotInstall {
            reason: "this user is not root, and there is no sudo",
        });
    }
    Ok(true)
}

/// sudo clears the environment, hence `env` behind it.
fn apt_get(sudo: bool) -> Command {
    let mut command = Command::new(if sudo { "sudo" } else { "env" });
    if sudo {
        command.arg("env");
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    command
}

fn runs(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

fn run_visibly(command: &mut Command) -> Result<(), StackError> {
    let program = command.get_program().to_os_string();
    let status = command.status().map_err(StackError::io("run", &program))?;
    if status.success() {
        return Ok(());
    }
    let output = "see what it printed above".to_owned();
    Err(StackError::Command {
        program: format!("{command:?}"),
        status,
        output,
    })
}
