use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio_postgres::Client;

use crate::cluster::create_cluster;
use crate::command::{command_as, run, signal};
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
    server: Server<Configured>,
}

/// What is particular to one private PostgreSQL.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// Names and values of settings, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
    /// Names and contents of files in the data directory, such as `pg_hba.conf` or keys. The user
    /// `sovd` must stay able to connect without TLS.
    pub files: Vec<(String, String)>,
    /// Variables of the server's environment.
    pub environment: Vec<(String, String)>,
}

/// The programs and what they are started with.
#[derive(Debug)]
struct Configured {
    postgres: PostgresBinaries,
    options: PostgresOptions,
}

impl Postgres {
    /// Starts the newest PostgreSQL on the search path; returns when it answers.
    ///
    /// # Errors
    ///
    /// When there is none, or when it does not start; the error carries the end of its log.
    pub fn start(search_path: &SearchPath) -> Result<Self, StackError> {
        Self::start_with(search_path, PostgresOptions::default())
    }

    /// The same with settings and files of its own.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and when a file cannot be written.
    pub fn start_with(
        search_path: &SearchPath,
        options: PostgresOptions,
    ) -> Result<Self, StackError> {
        let postgres = search_path.postgres()?;
        let state = StateDirectory::open()?;
        let instance = Instance::create(&state, "postgres")?;
        create_cluster(&postgres, &state, &instance.data())?;
        for (name, content) in &options.files {
            let path = instance.data().join(name);
            fs::write(&path, content).map_err(StackError::io("write", &path))?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))
                .map_err(StackError::io("protect", &path))?;
            state.give(&path)?;
        }
        let configured = Configured { postgres, options };
        Ok(Self {
            server: Server::start(configured, instance)?,
        })
    }

    /// Starts a replica that follows this server by streaming; returns when it answers.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and when the data cannot be copied.
    pub fn start_replica(&self, search_path: &SearchPath) -> Result<Self, StackError> {
        let postgres = search_path.postgres()?;
        let state = StateDirectory::open()?;
        let instance = Instance::create(&state, "postgres")?;
        // Debian links only some of the programs into the search path.
        let initdb =
            fs::canonicalize(&postgres.initdb).map_err(StackError::io("find", &postgres.initdb))?;
        let mut copy = command_as(state.account, &initdb.with_file_name("pg_basebackup"));
        copy.args(["-h", "127.0.0.1", "-p", &self.port().to_string()])
            .args(["-U", "sovd", "--checkpoint=fast", "--no-sync"])
            .args(["--write-recovery-conf", "-D"])
            .arg(instance.data());
        run(&mut copy)?;
        let options = PostgresOptions::default();
        let configured = Configured { postgres, options };
        Ok(Self {
            server: Server::start(configured, instance)?,
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

    /// Freezes every process of the server: connections stay open, and nothing is answered until
    /// the result is dropped.
    ///
    /// # Errors
    ///
    /// When it is stopped, or does not name its processes.
    pub fn freeze(&self) -> Result<Frozen, StackError> {
        let (port, postmaster) = (self.port(), self.server.pid()?);
        // A thread, because the caller may be inside a runtime, where another cannot run.
        let freezing = thread::spawn(move || freeze(port, postmaster)).join();
        freezing.unwrap_or(Err(StackError::Processes))
    }
}

/// A PostgreSQL whose processes are stopped. Dropping it continues them.
#[derive(Debug)]
pub struct Frozen {
    processes: Vec<u32>,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for process in &self.processes {
            // It may have been killed meanwhile.
            let _ = signal("CONT", *process);
        }
    }
}

/// Throwaway data needs no protection from a power cut, and one time zone makes tests agree on
/// every machine.
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

impl Program for Configured {
    const NAME: &'static str = "PostgreSQL";
    const QUIT: &'static str = "QUIT";
    const STOP: &'static str = "INT";
    const PID_FILE: &'static str = "data/postmaster.pid";

    fn command(&self, instance: &Instance, port: u16) -> Command {
        let mut command = command_as(instance.account, &self.postgres.postgres);
        command
            .arg("-D")
            .arg(instance.data())
            .args(["-p", &port.to_string()]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        for (name, value) in &self.options.settings {
            command.args(["-c", &format!("{name}={value}")]);
        }
        for (name, value) in &self.options.environment {
            command.env(name, value);
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
    on_own_runtime(async {
        let client = connect(port).await?;
        let row = client.query_one("SHOW data_directory", &[]).await.ok()?;
        row.try_get(0).ok()
    })
}

/// Stops the process that starts the others, then those that it has started.
fn freeze(port: u16, postmaster: u32) -> Result<Frozen, StackError> {
    let listed = on_own_runtime(async {
        let client = connect(port).await?;
        let mut frozen = Frozen {
            processes: vec![postmaster],
        };
        signal("STOP", postmaster).ok()?;
        let sql = "SELECT pid FROM pg_stat_activity ORDER BY pid = pg_backend_pid()";
        for row in client.query(sql, &[]).await.ok()? {
            let process = u32::try_from(row.try_get::<_, i32>(0).ok()?).ok()?;
            frozen.processes.push(process);
            // One that has just ended needs no signal.
            let _ = signal("STOP", process);
        }
        Some(frozen)
    });
    listed.ok_or(StackError::Processes)
}

async fn connect(port: u16) -> Option<Client> {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .user("sovd")
        .dbname("postgres");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

fn on_own_runtime<T>(question: impl Future<Output = Option<T>>) -> Option<T> {
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
