//! The server in a separate process.

use std::process::Stdio;

use sovd_devstack::within;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::oneshot,
    task::JoinHandle,
};

pub(crate) const SECRET: &str = "f3b1c2d4e5a69788796a5b4c3d2e1f00-not-for-use";

pub(crate) fn server() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api-server"));
    command
        .env_clear()
        .env("SOVD__SERVER__PORT", "0")
        .env("SOVD__DATABASE__WAIT_SECONDS", "0")
        .env("SOVD__DISPATCH__WAITING_PER_VEHICLE", "0")
        .env("SOVD__DISPATCH__WAITING_PER_USER", "0")
        .env("JWT_SECRET", SECRET)
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

pub(crate) struct Running {
    child: Child,
    log: JoinHandle<String>,
    pub(crate) address: String,
}

impl Running {
    pub(crate) async fn start(command: &mut Command) -> Self {
        let mut child = command
            .env("SOVD__LOG__FORMAT", "json")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (found, address) = oneshot::channel();
        let log = tokio::spawn(read_log(child.stdout.take().unwrap(), found));
        let address = within("the server to listen", address).await.unwrap();
        Self {
            child,
            log,
            address,
        }
    }

    /// Returns the id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .await
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for the end of the process and returns its exit code and log.
    pub(crate) async fn ended(mut self) -> (Option<i32>, String) {
        let status = within("the server to end", self.child.wait())
            .await
            .unwrap();
        (status.code(), self.log.await.unwrap())
    }
}

/// Reads the log continuously, so that the server never blocks, and sends the address.
async fn read_log(stdout: ChildStdout, found: oneshot::Sender<String>) -> String {
    let mut lines = BufReader::new(stdout).lines();
    let (mut log, mut found) = (String::new(), Some(found));
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("\"message\":\"listening\"") {
            let (_, rest) = line.split_once("\"address\":\"").unwrap();
            let address = rest.split('"').next().unwrap().to_owned();
            found.take().unwrap().send(address).unwrap();
        }
        log.push_str(&line);
        log.push('\n');
    }
    log
}
