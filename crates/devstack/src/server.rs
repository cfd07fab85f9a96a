use std::ffi::OsString;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::directory::ServerDirectory;
use crate::error::StackError;
use crate::process::{command_as, send_signal, tail};
use crate::watchdog::Watchdog;

/// A private server on a free port of 127.0.0.1: [`Postgres`](crate::Postgres) or
/// [`Redis`](crate::Redis).
///
/// All methods block, usually for some tens of milliseconds. Dropping it ends the server and removes
/// its data.
#[derive(Debug)]
pub struct Server {
    program: Program,
    port: u16,
    child: Mutex<Option<Child>>,
    watchdog: Watchdog,
    directory: ServerDirectory,
}

/// How to run one kind of server.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its name in messages.
    pub(crate) name: &'static str,
    pub(crate) executable: PathBuf,
    /// The option that is followed by the port.
    pub(crate) port_option: &'static str,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(String, String)>,
    /// The signal that ends it at once; its data is no longer needed.
    pub(crate) quit: Signal,
    /// The signal that ends it and keeps its data.
    pub(crate) stop: Signal,
    /// The file that exists while it runs.
    pub(crate) pid_file: PathBuf,
    /// Returns whether the process of the given PID file, port and process ID accepts requests.
    /// Another server may be listening on the port.
    pub(crate) is_ready: fn(&Path, u16, u32) -> bool,
}

const TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
const PORT_ATTEMPTS: u32 = 10;

impl Server {
    pub(crate) fn start(program: Program, directory: ServerDirectory) -> Result<Self, StackError> {
        let watchdog = Watchdog::start(program.quit, &program.pid_file, &directory.path)?;
        let mut server = Self {
            program,
            port: 0,
            child: Mutex::new(None),
            watchdog,
            directory,
        };
        for _ in 0..PORT_ATTEMPTS {
            server.port = free_port()?;
            if server.launch()? {
                return Ok(server);
            }
        }
        Err(server.port_taken())
    }

    /// Returns the TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends the process and its connections. Its data and port remain.
    pub fn stop(&self) -> Result<(), StackError> {
        let mut guard = self.child();
        let child = guard.as_mut().ok_or_else(|| self.already("stopped"))?;
        send_signal(self.program.stop, child.id())?;
        send_signal(Signal::SIGCONT, child.id())?;
        let exit = |child: &mut Child| Ok(self.has_exited(child)?.then_some(()));
        let stopped = self.wait_for("stop", child, exit);
        *guard = None;
        stopped
    }

    /// Starts a stopped server on the same data and port, and waits until it is ready.
    pub fn start_again(&self) -> Result<(), StackError> {
        for _ in 0..PORT_ATTEMPTS {
            if self.launch()? {
                return Ok(());
            }
            // The port may be in use for a moment as the local port of an outgoing connection.
            thread::sleep(Duration::from_millis(200));
        }
        Err(self.port_taken())
    }

    /// Suspends the process. Redis no longer answers; PostgreSQL no longer accepts connections, but
    /// open ones have their own processes and are unaffected.
    pub fn pause(&self) -> Result<(), StackError> {
        send_signal(Signal::SIGSTOP, self.pid()?)
    }

    /// Reverts [`pause`](Self::pause).
    pub fn resume(&self) -> Result<(), StackError> {
        send_signal(Signal::SIGCONT, self.pid()?)
    }

    pub(crate) fn pid(&self) -> Result<u32, StackError> {
        let child = self.child();
        let id = child.as_ref().map(Child::id);
        id.ok_or_else(|| self.already("stopped"))
    }

    /// Starts the process and waits until it is ready. Returns `false` if the port is in use.
    fn launch(&self) -> Result<bool, StackError> {
        let mut guard = self.child();
        if guard.is_some() {
            return Err(self.already("running"));
        }
        let mut child = self.spawn()?;
        let is_started = self.wait_for("start", &mut child, |child| {
            if (self.program.is_ready)(&self.program.pid_file, self.port, child.id()) {
                return Ok(Some(true));
            }
            if !self.has_exited(child)? {
                return Ok(None);
            }
            if TcpListener::bind(("127.0.0.1", self.port)).is_err() {
                return Ok(Some(false));
            }
            Err(StackError::Exited {
                server: self.program.name,
                log: self.log(),
            })
        })?;
        *guard = is_started.then_some(child);
        Ok(is_started)
    }

    /// Polls until `check` returns a value, and kills the process if that takes too long.
    fn wait_for<T>(
        &self,
        action: &'static str,
        child: &mut Child,
        check: impl Fn(&mut Child) -> Result<Option<T>, StackError>,
    ) -> Result<T, StackError> {
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            if let Some(outcome) = check(child)? {
                return Ok(outcome);
            }
            thread::sleep(POLL_INTERVAL);
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(StackError::TimedOut {
            server: self.program.name,
            action,
            log: self.log(),
        })
    }

    fn spawn(&self) -> Result<Child, StackError> {
        let path = self.directory.log();
        let log = File::create(&path).map_err(StackError::io("create", &path))?;
        let errors = log.try_clone().map_err(StackError::io("share", &path))?;
        let program = &self.program;
        let mut command = command_as(self.directory.account, &program.executable);
        command
            .args([program.port_option, &self.port.to_string()])
            .args(&program.arguments)
            .envs(program.environment.iter().cloned())
            .stdout(log)
            .stderr(errors);
        self.watchdog.guard(&mut command);
        command
            .spawn()
            .map_err(StackError::io("start", &program.executable))
    }

    fn has_exited(&self, child: &mut Child) -> Result<bool, StackError> {
        let status = child.try_wait();
        let status = status.map_err(StackError::io("wait for", self.program.name))?;
        Ok(status.is_some())
    }

    fn already(&self, state: &'static str) -> StackError {
        let server = self.program.name;
        StackError::WrongState { server, state }
    }

    fn port_taken(&self) -> StackError {
        let server = self.program.name;
        StackError::PortTaken { server }
    }

    fn log(&self) -> String {
        tail(&fs::read(self.directory.log()).unwrap_or_default())
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    /// Reaps the child before the watchdog, so that it does not remain as a zombie.
    fn drop(&mut self) {
        self.watchdog.release();
        if let Some(mut child) = self.child().take() {
            let _ = child.wait();
        }
    }
}

/// Returns a port that the operating system chose. Another process may bind it before the server
/// does, so callers try several.
fn free_port() -> Result<u16, StackError> {
    let listener = TcpListener::bind(("127.0.0.1", 0));
    let address = listener.and_then(|listener| listener.local_addr());
    let address = address.map_err(StackError::io("bind a port on", "127.0.0.1"))?;
    Ok(address.port())
}
