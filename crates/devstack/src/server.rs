use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{signal, tail};
use crate::error::StackError;
use crate::instance::Instance;
use crate::watchdog::Watchdog;

/// What is particular to one kind of server.
pub(crate) trait Program {
    /// As people call it.
    const NAME: &'static str;
    /// The signal to end at once; the data is not needed any more.
    const QUIT: &'static str;
    /// The signal to end and keep the data.
    const STOP: &'static str;
    /// Relative to the instance's directory; the server writes it and removes it when it ends.
    const PID_FILE: &'static str;

    fn command(&self, instance: &Instance, port: u16) -> Command;

    /// Whether this very server answers a request, and not another one on its port.
    fn answers(&self, instance: &Instance, port: u16, pid: u32) -> bool;
}

/// A server process on a port of its own. It ends, and its data goes, when this is dropped.
#[derive(Debug)]
pub(crate) struct Server<P: Program> {
    program: P,
    port: u16,
    child: Mutex<Option<Child>>,
    watchdog: Watchdog,
    instance: Instance,
}

const DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);
const PORT_ATTEMPTS: u32 = 10;

impl<P: Program> Server<P> {
    pub(crate) fn start(program: P, instance: Instance) -> Result<Self, StackError> {
        let pid_file = instance.directory.join(P::PID_FILE);
        let watchdog = Watchdog::start(P::QUIT, &pid_file, &instance.directory)?;
        let mut server = Self {
            program,
            port: 0,
            child: Mutex::new(None),
            watchdog,
            instance,
        };
        for _ in 0..PORT_ATTEMPTS {
            server.port = free_port()?;
            if let Some(child) = server.launch()? {
                *server.child() = Some(child);
                return Ok(server);
            }
        }
        Err(StackError::PortTaken {
            server: P::NAME,
            attempts: PORT_ATTEMPTS,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends the process; data and port stay.
    pub(crate) fn stop(&self) -> Result<(), StackError> {
        let mut guard = self.child();
        let child = guard.as_mut().ok_or(Self::already("stopped"))?;
        signal(P::STOP, child.id())?;
        signal("CONT", child.id())?;
        let stopped = self.wait_for_exit(child);
        if stopped.is_err() {
            kill(child);
        }
        *guard = None;
        stopped
    }

    /// Starts the process on the same data and port.
    pub(crate) fn start_again(&self) -> Result<(), StackError> {
        let mut guard = self.child();
        if guard.is_some() {
            return Err(Self::already("running"));
        }
        for _ in 0..PORT_ATTEMPTS {
            *guard = self.launch()?;
            if guard.is_some() {
                return Ok(());
            }
            // A passing client may have been given the port for its own end of a connection.
            thread::sleep(Duration::from_millis(200));
        }
        Err(StackError::PortTaken {
            server: P::NAME,
            attempts: PORT_ATTEMPTS,
        })
    }

    pub(crate) fn signal(&self, name: &str) -> Result<(), StackError> {
        signal(name, self.pid()?)
    }

    pub(crate) fn pid(&self) -> Result<u32, StackError> {
        let guard = self.child();
        let child = guard.as_ref().ok_or(Self::already("stopped"))?;
        Ok(child.id())
    }

    /// Returns when the server answers; `None` when its port was taken.
    fn launch(&self) -> Result<Option<Child>, StackError> {
        let path = self.instance.log();
        let log = File::create(&path).map_err(StackError::io("create", &path))?;
        let errors = log.try_clone().map_err(StackError::io("share", &path))?;
        let mut command = self.program.command(&self.instance, self.port);
        self.watchdog.adopt(command.stdout(log).stderr(errors));
        let mut child = command
            .spawn()
            .map_err(StackError::io("start", command.get_program()))?;

        let begun = Instant::now();
        loop {
            if child
                .try_wait()
                .map_err(StackError::io("wait for", P::NAME))?
                .is_some()
            {
                if TcpListener::bind(("127.0.0.1", self.port)).is_err() {
                    return Ok(None);
                }
                return Err(StackError::Exited {
                    server: P::NAME,
                    log: self.log(),
                });
            }
            if self.program.answers(&self.instance, self.port, child.id()) {
                return Ok(Some(child));
            }
            if begun.elapsed() > DEADLINE {
                kill(&mut child);
                return Err(self.timed_out("answer"));
            }
            thread::sleep(POLL);
        }
    }

    fn wait_for_exit(&self, child: &mut Child) -> Result<(), StackError> {
        let begun = Instant::now();
        while child
            .try_wait()
            .map_err(StackError::io("wait for", P::NAME))?
            .is_none()
        {
            if begun.elapsed() > DEADLINE {
                return Err(self.timed_out("stop"));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn timed_out(&self, action: &'static str) -> StackError {
        let seconds = DEADLINE.as_secs();
        StackError::TimedOut {
            server: P::NAME,
            action,
            seconds,
            log: self.log(),
        }
    }

    fn already(state: &'static str) -> StackError {
        StackError::WrongState {
            server: P::NAME,
            state,
        }
    }

    fn log(&self) -> String {
        tail(&fs::read(self.instance.log()).unwrap_or_default())
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Program> Drop for Server<P> {
    /// Waits for the child first, so that it does not stay behind as a zombie.
    fn drop(&mut self) {
        self.watchdog.release();
        if let Some(mut child) = self.child().take() {
            let _ = child.wait();
        }
    }
}

/// The system picks it. Somebody may take it before the server does, hence the retries above.
fn free_port() -> Result<u16, StackError> {
    let listener = TcpListener::bind(("127.0.0.1", 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address
        .map_err(StackError::io("bind a port on", "127.0.0.1"))?
        .port())
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
