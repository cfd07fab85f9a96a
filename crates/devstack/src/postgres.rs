use std::fs::{self, Permissions};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::directory::ServerDirectory;
use crate::error::StackError;
use crate::process::{command_as, run, send_signal};
use crate::runtime;
use crate::search_path::{PostgresBinaries, SearchPath};
use crate::server::{Program, Server};

/// The data need not survive a power failure, and one time zone makes tests independent of the
/// machine.
const SETTINGS: [&str; 10] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=500",
    "shared_buffers=32MB",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "logging_collector=off",
    "timezone=UTC",
    "log_timezone=UTC",
];

/// A private PostgreSQL with the superuser `sovd` and no password.
#[derive(Debug)]
pub struct Postgres(Server);

/// Settings and files of one private PostgreSQL.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// Names and values of settings, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
    /// Names and contents of files in the data directory, such as `pg_hba.conf` or keys. The user
    /// `sovd` must remain able to connect without TLS.
    pub files: Vec<(String, String)>,
    /// Environment variables of the server.
    pub environment: Vec<(String, String)>,
}

impl Postgres {
    /// Starts the newest PostgreSQL on the search path and waits until it is ready.
    pub fn start(search_path: &SearchPath) -> Result<Self, StackError> {
        Self::start_with(search_path, PostgresOptions::default())
    }

    /// Starts the newest PostgreSQL on the search path with additional settings and files.
    pub fn start_with(
        search_path: &SearchPath,
        options: PostgresOptions,
    ) -> Result<Self, StackError> {
        let binaries = search_path.postgres()?;
        let directory = ServerDirectory::create("postgres")?;
        directory.create_cluster(&binaries)?;
        for (name, content) in &options.files {
            let path = directory.data().join(name);
            fs::write(&path, content).map_err(StackError::io("write", &path))?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))
                .map_err(StackError::io("change mode of", &path))?;
            if let Some(account) = directory.account {
                account.own(&path)?;
            }
        }
        Self::launch(binaries, directory, options)
    }

    /// Starts a replica that follows this server by streaming replication, and waits until it is
    /// ready.
    pub fn start_replica(&self, search_path: &SearchPath) -> Result<Self, StackError> {
        let binaries = search_path.postgres()?;
        let directory = ServerDirectory::create("postgres")?;
        let pg_basebackup = binaries.postgres.with_file_name("pg_basebackup");
        let mut copy = command_as(directory.account, &pg_basebackup);
        copy.args(["-h", "127.0.0.1", "-p", &self.port().to_string()])
            .args(["-U", "sovd", "--checkpoint=fast", "--no-sync"])
            .args(["--write-recovery-conf", "-D"])
            .arg(directory.data());
        run(&mut copy)?;
        Self::launch(binaries, directory, PostgresOptions::default())
    }

    fn launch(
        binaries: PostgresBinaries,
        directory: ServerDirectory,
        options: PostgresOptions,
    ) -> Result<Self, StackError> {
        let mut arguments = vec!["-D".into(), directory.data().into()];
        let settings = options.settings.iter();
        let settings = settings.map(|(name, value)| format!("{name}={value}"));
        for setting in SETTINGS.map(str::to_owned).into_iter().chain(settings) {
            arguments.extend(["-c".into(), setting.into()]);
        }
        let program = Program {
            name: "PostgreSQL",
            executable: binaries.postgres,
            port_option: "-p",
            arguments,
            environment: options.environment,
            quit: Signal::SIGQUIT,
            stop: Signal::SIGINT,
            pid_file: directory.data().join("postmaster.pid"),
            is_ready: |pid_file, _, pid| is_ready(pid_file, pid),
        };
        Server::start(program, directory).map(Self)
    }

    /// Returns the URL of the database `postgres`.
    pub fn url(&self) -> String {
        format!("postgres://sovd@127.0.0.1:{}/postgres", self.port())
    }

    /// Suspends every process of the server until the result is dropped: connections remain open,
    /// and no request is answered.
    pub fn freeze(&self) -> Result<Frozen, StackError> {
        let (url, postmaster) = (self.url(), self.pid()?);
        let frozen = runtime::block_on(freeze(url, postmaster));
        frozen.flatten().ok_or(StackError::Processes)
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// A PostgreSQL whose processes are suspended. Dropping it resumes them.
#[derive(Debug)]
pub struct Frozen(Vec<u32>);

impl Frozen {
    fn add(&mut self, process: u32) {
        self.0.push(process);
        // It may have exited.
        let _ = send_signal(Signal::SIGSTOP, process);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for process in &self.0 {
            // It may have been killed.
            let _ = send_signal(Signal::SIGCONT, *process);
        }
    }
}

/// Suspends the postmaster, which starts the other processes, then those.
async fn freeze(url: String, postmaster: u32) -> Option<Frozen> {
    let sql = "SELECT pid FROM pg_stat_activity ORDER BY pid = pg_backend_pid()";
    let client = runtime::connect(&url).await.ok()?;
    let mut frozen = Frozen(Vec::new());
    frozen.add(postmaster);
    for row in client.query(sql, &[]).await.ok()? {
        frozen.add(row.try_get::<_, i32>(0).ok()?.cast_unsigned());
    }
    Some(frozen)
}

/// Reads the PID file, as `pg_ctl` does: its first line is the process ID, its eighth the status.
fn is_ready(pid_file: &Path, pid: u32) -> bool {
    let file = fs::read_to_string(pid_file).unwrap_or_default();
    let mut lines = file.lines().map(str::trim);
    lines.next() == Some(&pid.to_string()) && lines.nth(6) == Some("ready")
}
