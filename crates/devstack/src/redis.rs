use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::directory::ServerDirectory;
use crate::error::StackError;
use crate::search_path::SearchPath;
use crate::server::{Program, Server};

/// A private Redis without a password. Stopping it saves its keys.
#[derive(Debug)]
pub struct Redis(Server);

impl Redis {
    /// Starts the first Redis on the search path and waits until it is ready.
    pub fn start(search_path: &SearchPath) -> Result<Self, StackError> {
        Self::start_with(search_path, &[])
    }

    /// Starts Redis with additional arguments, for example `--tls-port`. The port without TLS must
    /// remain and must accept requests without a password.
    pub fn start_with(search_path: &SearchPath, arguments: &[&str]) -> Result<Self, StackError> {
        let executable = search_path.redis()?;
        let directory = ServerDirectory::create("redis")?;
        let pid_file = directory.path.join("redis.pid");
        // Redis saves its keys on SIGTERM if any save point is configured; this one is never met.
        let save = ["--save", "86400 1000000000", "--appendonly", "no"];
        let run = ["--bind", "127.0.0.1", "--daemonize", "no"];
        let mut all: Vec<_> = [save, run].concat().into_iter().map(Into::into).collect();
        all.extend(["--dir".into(), directory.path.clone().into()]);
        all.extend(["--pidfile".into(), pid_file.clone().into()]);
        all.extend(arguments.iter().map(Into::into));
        let program = Program {
            name: "Redis",
            executable,
            port_option: "--port",
            arguments: all,
            environment: Vec::new(),
            quit: Signal::SIGTERM,
            stop: Signal::SIGTERM,
            pid_file,
            is_ready: |_, port, pid| process_id(port) == Some(pid),
        };
        Server::start(program, directory).map(Self)
    }

    /// Returns the URL of database 0.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port())
    }
}

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// Returns the process ID of the Redis that listens on `port`.
fn process_id(port: u16) -> Option<u32> {
    let timeout = Duration::from_millis(250);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, timeout).ok()?;
    stream.set_read_timeout(Some(timeout)).ok()?;
    stream.write_all(b"INFO server\r\n").ok()?;
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.find_map(|line| line.strip_prefix("process_id:")?.parse().ok())
}
