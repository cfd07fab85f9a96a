use std::{
    fs,
    io::{self, BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

/// A server in a separate process, which is killed when the value is dropped.
pub(crate) struct Process {
    child: Child,
    address: String,
}

impl Process {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(database_url: &str, redis_url: &str, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_api-server"))
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("REDIS_URL", redis_url)
            .env("SOVD__SERVER__PORT", "0")
            .env("SOVD__LOG__FORMAT", "json")
            // All clients of a benchmark have the same address.
            .env("SOVD__SERVER__CONNECTIONS_PER_ADDRESS", "0")
            // One user sends all commands.
            .env("SOVD__DISPATCH__WAITING_PER_VEHICLE", "0")
            .env("SOVD__DISPATCH__WAITING_PER_USER", "0")
            .env("SOVD__LIMITS__REQUESTS_IN_FLIGHT", "10000")
            .env("SOVD__LIMITS__LISTS_IN_FLIGHT", "1000")
            .env("SOVD__LIMITS__EXPORTS_PER_USER", "1000")
            .env("SOVD__LIMITS__EXPORTS_IN_FLIGHT", "1000")
            .envs(settings.iter().copied())
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let address = listening_address(&mut child);
        Self { child, address }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns a number from the process's `status` file in `/proc`, such as `VmRSS`, in KiB.
    pub(crate) fn status_kib(&self, name: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Returns the content of a file of the process in `/proc`.
    pub(crate) fn proc(&self, name: &str) -> String {
        fs::read_to_string(self.proc_path(name)).unwrap()
    }

    pub(crate) fn proc_path(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the log up to the address, and then discards it so that the server never blocks.
fn listening_address(child: &mut Child) -> String {
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"message\":\"listening\"") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended");
    }
    thread::spawn(move || io::copy(&mut log, &mut io::sink()));
    let (_, rest) = line.split_once("\"address\":\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}
