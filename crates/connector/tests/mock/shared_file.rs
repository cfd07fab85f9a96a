use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_connector::{CommandRequest, Connector, ConnectorError, Journal, MockConnector};
use sovd_domain::{CommandId, Random, SeededRandom};
use tempfile::TempDir;

use crate::setup::{VIN, clear, clear_all, codes, instant, mock, read_dtc, send};

/// A directory for one journal file.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("journal.jsonl")
    }

    /// Creates a mock with its own journal on the file, as in another process.
    fn mock(&self) -> MockConnector {
        mock(instant()).with_journal(Journal::file(self.path()))
    }

    fn journal(&self) -> Journal {
        Journal::file(self.path())
    }

    /// Appends `text` to the file.
    fn append(&self, text: &str) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path())
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

async fn error_of(mock: &MockConnector, request: CommandRequest) -> ConnectorError {
    mock.execute(request).await.err().unwrap()
}

#[tokio::test]
async fn an_entry_is_one_line_of_json() {
    let dir = Directory::new();
    assert!(dir.journal().entries().unwrap().is_empty());
    send(&dir.mock(), clear("P0420")).await;

    let text = fs::read_to_string(dir.path()).unwrap();

    assert_eq!(text.matches('\n').count(), 1);
    assert!(text.ends_with('\n'));
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({
            "command_id": clear("P0420").command_id,
            "command_name": "ClearDTC",
            "vin": VIN,
            "params": { "ecuAddress": "0x10", "dtcCode": "P0420" },
            "acted": true,
        })
    );
}

#[tokio::test]
async fn processes_that_share_a_file_share_the_fault_memory() {
    let dir = Directory::new();
    let (one, other) = (dir.mock(), dir.mock());
    assert_eq!(codes(&one, read_dtc()).await.len(), 3);
    send(&other, clear("P0420")).await;
    assert_eq!(codes(&one, read_dtc()).await, ["P0301", "U0100"]);
    send(&one, clear("P0301")).await;
    assert_eq!(codes(&one, read_dtc()).await, ["U0100"]);
    assert_eq!(codes(&other, read_dtc()).await, ["U0100"]);
    assert_eq!(codes(&dir.mock(), read_dtc()).await, ["U0100"]);

    let names = dir.journal().entries().unwrap().into_iter();
    let clears = names.filter(|entry| entry.command_name == "ClearDTC");
    assert_eq!(clears.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_lose_no_entry() {
    let dir = Directory::new();
    let random = SeededRandom::new(3);
    let mut sent: Vec<_> = (0..200).map(|_| CommandId(random.uuid())).collect();
    let tasks = sent.iter().map(|id| {
        let (mock, command_id) = (dir.mock(), *id);
        tokio::spawn(async move {
            let request = CommandRequest {
                command_id,
                ..clear_all()
            };
            send(&mock, request).await;
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }

    let entries = dir.journal().entries().unwrap();

    let mut found: Vec<CommandId> = entries.iter().map(|entry| entry.command_id).collect();
    found.sort();
    sent.sort();
    assert_eq!(found, sent);
}

#[tokio::test]
async fn an_unfinished_line_is_skipped_and_separated_from_the_next() {
    let whole = Directory::new();
    send(&whole.mock(), clear_all()).await;
    let line = fs::read_to_string(whole.path()).unwrap();
    for length in 1..line.len() - 1 {
        let dir = Directory::new();
        send(&dir.mock(), read_dtc()).await;
        dir.append(&line[..length]);
        let mock = dir.mock();
        assert_eq!(dir.journal().entries().unwrap().len(), 1, "{length}");
        assert_eq!(codes(&mock, read_dtc()).await.len(), 3, "{length}");

        send(&mock, clear("P0301")).await;

        assert_eq!(dir.journal().entries().unwrap().len(), 3, "{length}");
        assert_eq!(codes(&mock, read_dtc()).await, ["P0420", "U0100"]);
        assert_eq!(codes(&dir.mock(), read_dtc()).await, ["P0420", "U0100"]);
    }
}

#[tokio::test]
async fn a_line_counts_once_it_is_complete() {
    let whole = Directory::new();
    send(&whole.mock(), clear_all()).await;
    let line = fs::read_to_string(whole.path()).unwrap();
    let dir = Directory::new();
    dir.append(line.trim_end());
    assert!(dir.journal().entries().unwrap().is_empty());
    dir.append("\n");
    assert_eq!(dir.journal().entries().unwrap().len(), 1);
    assert!(codes(&dir.mock(), read_dtc()).await.is_empty());
}

#[tokio::test]
async fn emptying_or_removing_the_file_resets_the_fault_memory() {
    let dir = Directory::new();
    let mock = dir.mock();
    for reset in [
        |dir: &Directory| fs::write(dir.path(), "").unwrap(),
        |dir: &Directory| fs::remove_file(dir.path()).unwrap(),
    ] {
        send(&mock, clear_all()).await;
        assert!(codes(&mock, read_dtc()).await.is_empty());
        reset(&dir);
        assert_eq!(codes(&mock, read_dtc()).await.len(), 3);
    }
}

#[tokio::test]
async fn a_command_that_cannot_be_recorded_is_not_sent() {
    let dir = Directory::new();
    let missing = dir.path().join("missing").join("journal.jsonl");
    for path in [dir.0.path().to_owned(), missing] {
        let mock = mock(instant()).with_journal(Journal::file(path));
        for request in [clear_all(), read_dtc()] {
            let error = error_of(&mock, request).await;
            let ConnectorError::Unreachable { reason } = error else {
                panic!("{error:?}");
            };
            assert!(reason.contains("os error"), "{reason}");
        }
    }
}

#[tokio::test]
async fn a_file_of_another_format_is_an_error() {
    let dir = Directory::new();
    dir.append("{\"level\": \"INFO\"}\n");
    let error = dir.journal().entries().unwrap_err().to_string();
    assert!(error.contains("is not an entry"), "{error}");
    let error = error_of(&dir.mock(), read_dtc()).await;
    assert!(matches!(error, ConnectorError::Unreachable { .. }));
    assert!(!error.may_have_acted());
}
