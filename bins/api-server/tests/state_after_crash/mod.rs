//! The state after a crash, in the database and in the journal of the vehicles.

use std::{collections::HashMap, fs, path::Path};

use serde_json::Value;
use tokio_postgres::Row;

use crate::test_vehicles::Fleet;

/// A command is interrupted if its lease holder died while the vehicle may have executed it.
const COMMANDS: &str = "
    SELECT command_id::text, command_name, status, failure_kind, finding,
           ARRAY(SELECT sequence_number FROM responses
                 WHERE responses.command_id = commands.command_id ORDER BY 1) AS numbers,
           ARRAY(SELECT sequence_number FROM responses
                 WHERE responses.command_id = commands.command_id AND is_final) AS finals,
           ARRAY(SELECT action::text FROM audit_logs
                 WHERE audit_logs.command_id = commands.command_id
                   AND action IN ('command.complete', 'command.fail')) AS ends,
           (SELECT count(*) FROM takeovers
            WHERE takeovers.command_id = commands.command_id
              AND takeovers.status = 'in_progress') AS takeovers,
           EXISTS (SELECT FROM takeovers
                   WHERE takeovers.command_id = commands.command_id
                     AND takeovers.status = 'in_progress'
                     AND send_count > 0 AND NOT is_answered) AS was_interrupted
    FROM commands";

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct EndedCommand {
    command_name: String,
    status: String,
    failure_kind: Option<String>,
    finding: Option<String>,
    /// The sequence numbers of its responses.
    numbers: Vec<i32>,
    /// The sequence numbers of its final responses.
    finals: Vec<i32>,
    /// The actions of its final audit entries.
    ends: Vec<String>,
    /// How often its lease holder died while it was in progress.
    takeovers: i64,
    was_interrupted: bool,
    /// Whether the vehicle acted, for each time that the command was sent.
    sent: Vec<bool>,
}

/// Returns every command.
pub(crate) async fn commands(fleet: &Fleet) -> Vec<EndedCommand> {
    let mut journal = read(&fleet.journal());
    let rows = fleet.sql.query(COMMANDS, &[]).await.unwrap();
    let commands = rows.iter().map(|row| {
        let id_and_name = (row.get("command_id"), row.get("command_name"));
        let sent = journal.remove(&id_and_name).unwrap_or_default();
        EndedCommand::new(row, sent)
    });
    commands.collect()
}

/// Returns what was sent, by the id and the name of the command. The reads around a clear have its id and a
/// different name.
fn read(journal: &Path) -> HashMap<(String, String), Vec<bool>> {
    let mut sent: HashMap<_, Vec<bool>> = HashMap::new();
    for line in fs::read_to_string(journal).unwrap().lines() {
        let entry: Value = match serde_json::from_str(line) {
            Ok(entry) => entry,
            // The writer was killed before it sent the command.
            Err(error) if error.is_eof() => continue,
            Err(error) => panic!("{error}: {line}"),
        };
        let text = |field: &str| entry[field].as_str().unwrap().to_owned();
        let id_and_name = (text("command_id"), text("command_name"));
        let acted = entry["acted"].as_bool().unwrap();
        sent.entry(id_and_name).or_default().push(acted);
    }
    sent
}

impl EndedCommand {
    fn new(row: &Row, sent: Vec<bool>) -> Self {
        Self {
            command_name: row.get("command_name"),
            status: row.get("status"),
            failure_kind: row.get("failure_kind"),
            finding: row.get("finding"),
            numbers: row.get("numbers"),
            finals: row.get("finals"),
            ends: row.get("ends"),
            takeovers: row.get("takeovers"),
            was_interrupted: row.get("was_interrupted"),
            sent,
        }
    }

    pub(crate) fn was_taken_over(&self) -> bool {
        self.takeovers > 0
    }

    pub(crate) fn was_sent_again(&self) -> bool {
        self.sent.len() > 1
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.failure_kind.as_deref() == Some("outcome_unknown")
    }

    /// Asserts the guarantees for every command.
    pub(crate) fn check(&self) {
        let in_order: Vec<i32> = (1..).take(self.numbers.len()).collect();
        assert_eq!(self.numbers, in_order, "a gap or a double: {self:?}");
        if self.status == "completed" {
            assert_eq!(self.ends, ["command.complete"], "{self:?}");
            assert_eq!(self.finals.len(), 1, "{self:?}");
            assert_eq!(self.finals.last(), self.numbers.last(), "{self:?}");
        } else {
            assert_eq!(self.status, "failed", "{self:?}");
            assert_eq!(self.ends, ["command.fail"], "{self:?}");
            assert!(self.finals.is_empty(), "{self:?}");
        }
        if self.command_name == "ClearDTC" {
            self.check_clearing();
        } else {
            self.check_reading();
        }
    }

    /// A read is repeated until it completes.
    fn check_reading(&self) {
        assert_eq!(self.status, "completed", "{self:?}");
        assert!((1..=3).contains(&self.sent.len()), "{self:?}");
        let reasons = usize::try_from(self.takeovers).unwrap();
        assert!(self.sent.len() <= 1 + reasons, "{self:?}");
    }

    /// A clear is not repeated, and is not reported as failed if it may have run.
    fn check_clearing(&self) {
        assert!(self.sent.len() <= 1, "{self:?}");
        assert_eq!(self.is_unknown(), self.was_interrupted, "{self:?}");
        if self.is_unknown() {
            // The faults were read before, and no other command clears them, so the finding is exact.
            let acted = self.sent.contains(&true);
            let expected = if acted { "cleared" } else { "not_cleared" };
            assert_eq!(self.finding.as_deref(), Some(expected), "{self:?}");
        } else {
            assert_eq!(self.status, "completed", "{self:?}");
            assert_eq!(self.sent, [true], "{self:?}");
            assert_eq!(self.finding, None, "{self:?}");
        }
    }
}
