use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::command::command_as;
use crate::error::StackError;
use crate::find::{RedisBinary, SearchPath};
use crate::instance::Instance;
use crate::server::{Program, Server};
use crate::state_directory::StateDirectory;

/// A private Redis on a free port of 127.0.0.1, without a password.
///
/// All methods block, for some tens of milliseconds as a rule. Dropping it ends the server.
#[derive(Debug)]
pub struct Redis {
    server: Server<RedisProgram>,
}

impl Redis {
    /// Starts the Redis on the search path; returns when it answers.
    ///
    /// # Errors
    ///
    /// When there is none, or when it does not start; the error carries the end of its log.
    pub fn start(search_path: &SearchPath) -> Result<Self, StackError> {
        Self::start_with(search_path, &[])
    }

    /// Starts it with further arguments, for example `--tls-port`. The port without TLS has to
    /// stay, and to answer without a password.
    ///
    /// # Errors
    ///
    /// As [`Redis::start`], and when the server does not accept the arguments.
    pub fn start_with(search_path: &SearchPath, arguments: &[&str]) -> Result<Self, StackError> {
        let program = RedisProgram {
            binary: search_path.redis()?,
            arguments: arguments.iter().map(ToString::to_string).collect(),
        };
        let instance = Instance::create(&StateDirectory::open()?, "redis")?;
        Ok(Self {
            server: Server::start(program, instance)?,
        })
    }

    /// The URL of its database 0.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port())
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Ends the server; its keys are written out first, and the port stays.
    ///
    /// # Errors
    ///
    /// When it is stopped already, cannot save its keys, or does not stop in 30 s.
    pub fn stop(&self) -> Result<(), StackError> {
        self.resume()?;
        let saved = ask(self.port(), "SAVE").and_then(|mut reply| reply.next());
        if saved.as_deref() != Some("+OK") {
            return Err(StackError::Unsaved);
        }
        self.server.stop()
    }

    /// Starts a stopped server on the same keys and port; returns when it answers.
    ///
    /// # Errors
    ///
    /// When it is running, or does not start.
    pub fn start_again(&self) -> Result<(), StackError> {
        self.server.start_again()
    }

    /// Freezes the server: connections stay open, nothing is answered.
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

#[derive(Debug)]
struct RedisProgram {
    binary: RedisBinary,
    arguments: Vec<String>,
}

impl Program for RedisProgram {
    const NAME: &'static str = "Redis";
    const QUIT: &'static str = "TERM";
    const STOP: &'static str = "TERM";
    const PID_FILE: &'static str = "redis.pid";

    fn command(&self, instance: &Instance, port: u16) -> Command {
        let mut command = command_as(instance.account, &self.binary.redis_server);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--dir").arg(&instance.directory);
        command
            .arg("--pidfile")
            .arg(instance.directory.join(Self::PID_FILE));
        command.args(&self.arguments);
        command
    }

    fn answers(&self, _instance: &Instance, port: u16, pid: u32) -> bool {
        let own = format!("process_id:{pid}");
        ask(port, "INFO server").is_some_and(|mut reply| reply.any(|line| line == own))
    }
}

/// Sends one inline command and gives the lines of the reply, up to a second of silence.
fn ask(port: u16, command: &str) -> Option<impl Iterator<Item = String>> {
    let second = Duration::from_secs(1);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, second).ok()?;
    stream.set_read_timeout(Some(second)).ok()?;
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    Some(BufReader::new(stream).lines().map_while(Result::ok))
}
