use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tokio::runtime;

use crate::cluster::create_cluster;
use crate::command::command_as;
use crate::error::StackError;
use crate::find::{PostgresBinaries, SearchPath};
use crate::instance::Instance;
use crate::server::{Program, Server};
use crate::state_directory::StateDirectory;

/// A private PostgreSQL on a free port of 127.0.0.1, with the superuser `sovd` and no password.
///
/// All methods block, for some tens of milliseconds as a rule. Dropping it ends the server and
/// removes its data.
#[derive(Debug)]
pub struct Postgres {
    server: Server<PostgresBinaries>,
}

impl Postgres {
    /// Starts the newest PostgreSQL on the search path; returns when it answers.
    ///
    /// # Errors
    ///
    /// When there is none, or when it does not start; the error carries the end of its log.
    pub fn start(search_path: &SearchPath) -> Result<Self, StackError> {
        let binaries = search_path.postgres()?;
        let state = StateDirectory::open()?;
        let instance = Instance::create(&state, "postgres")?;
        create_cluster(&binaries, &state, &instance.data())?;
        Ok(Self {
            server: Server::start(binaries, instance)?,
        })
    }

    /// The URL of its database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://sovd@127.0.0.1:{}/postgres", self.port())
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Ends the server and its connections; what was committed, and the port, stay.
    ///
    /// # Errors
    ///
    /// When it is stopped already, or does not stop in 30 s.
    pub fn stop(&self) -> Result<(), StackError> {
        self.server.stop()
    }

    /// Starts a stopped server on the same data and port; returns when it answers.
    ///
    /// # Errors
    ///
    /// When it is running, or does not start.
    pub fn start_again(&self) -> Result<(), StackError> {
        self.server.start_again()
    }

    /// Freezes the process that accepts connections: new ones hang. Open ones have a process
    /// each and go on.
    ///
    /// # Errors
    ///
    /// When it is stopped.
    pub fn pause(&self) -> Result<(), StackError> {
        self.server.signal("STOP")
    }

    /// Undoes [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// When it is stopped.
    pub fn resume(&self) -> Result<(), StackError> {
        self.server.signal("CONT")
    }
}

/// Throwaway data needs no protection from a power cut, and one time zone makes tests agree on
/// every machine.
const SETTINGS: [&str; 11] = [
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
    "lc_messages=C",
];

impl Program for PostgresBinaries {
    const NAME: &'static str = "PostgreSQL";
    const QUIT: &'static str = "QUIT";
    const STOP: &'static str = "INT";
    const PID_FILE: &'static str = "data/postmaster.pid";

    fn command(&self, instance: &Instance, port: u16) -> Command {
        let mut command = command_as(instance.account, &self.postgres);
        command
            .arg("-D")
            .arg(instance.data())
            .args(["-p", &port.to_string()]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
    }

    fn answers(&self, instance: &Instance, port: u16, _pid: u32) -> bool {
        // A thread, because the caller may be inside a runtime, where another cannot run.
        let answer = thread::spawn(move || data_directory(port)).join();
        matches!(answer, Ok(Some(directory)) if instance.data() == Path::new(&directory))
    }
}

/// The data directory of the PostgreSQL on this port, if one answers.
fn data_directory(port: u16) -> Option<String> {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .user("sovd")
        .dbname("postgres");
    let question = async {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.ok()?;
        let connection = tokio::spawn(connection);
        let row = client.query_one("SHOW data_directory", &[]).await.ok()?;
        connection.abort();
        row.try_get(0).ok()
    };
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(2), question)
            .await
            .ok()?
    })
}
