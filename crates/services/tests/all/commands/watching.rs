//! Observation of commands on a test bed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sovd_domain::{CommandId, CommandStatus, FailureKind, StreamEvent};
use sovd_services::commands::Submission;
use tokio::time::sleep;

use crate::fixture::{OFFLINE, TestBed, submission, within};

/// Polls `ask` until it returns a value, or panics when the timeout of [`within`] elapses.
pub(crate) async fn poll<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

impl TestBed {
    /// Returns the events of a command published so far.
    pub(crate) async fn published(&self, command_id: CommandId) -> Vec<StreamEvent> {
        self.parts.event_publisher.flush().await;
        self.bus.events(command_id)
    }

    /// Returns the queue entry of a command as JSON.
    pub(crate) async fn queue_entry(&self, command_id: CommandId) -> Option<Value> {
        let sql = "SELECT to_jsonb(command_queue) FROM command_queue WHERE command_id = $1";
        let row = self.sql().await.query_opt(sql, &[&command_id.0]).await;
        row.unwrap().map(|row| row.get(0))
    }

    /// Returns the expiry of the lease of a command.
    pub(crate) async fn lease_expires_at(&self, command_id: CommandId) -> Option<DateTime<Utc>> {
        let sql = "SELECT lease_expires_at FROM command_queue WHERE command_id = $1";
        let row = self.sql().await.query_one(sql, &[&command_id.0]).await;
        row.unwrap().get(0)
    }

    /// Waits until `count` chunks of the response are stored.
    pub(crate) async fn wait_for_responses(&self, command_id: CommandId, count: usize) {
        poll("chunks of a response", async || {
            (self.responses(command_id).await.len() == count).then_some(())
        })
        .await;
    }

    /// Waits until `count` dispatchers listen for notifications of other processes. They miss earlier
    /// ones.
    pub(crate) async fn wait_for_listeners(&self, count: i64) {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND query = 'LISTEN sovd_queue'
                       AND state = 'idle'";
        let client = self.sql().await;
        poll("dispatchers to listen", async || {
            let row = client.query_one(sql, &[]).await.unwrap();
            (row.get::<_, i64>(0) == count).then_some(())
        })
        .await;
    }

    /// Asserts that a dispatcher does not claim the command now. One claim finds all due commands, and
    /// one has found a new command for the other vehicle.
    pub(crate) async fn assert_not_claimed(&self, command_id: CommandId) {
        let before = self.queue_entry(command_id).await;
        self.connect(OFFLINE).await;
        let witness = Submission {
            vehicle_id: OFFLINE,
            ..submission("ReadDataByID")
        };
        let witness = self.submit_with(witness).await;
        assert_eq!(
            self.wait_for_end(witness).await.status,
            CommandStatus::Completed
        );
        assert_eq!(self.queue_entry(command_id).await, before);
    }

    /// Returns the audited actions of a command, in order.
    pub(crate) async fn audit_actions(&self, command_id: CommandId) -> Vec<String> {
        let audited = self.audit_entries(command_id).await;
        audited.into_iter().map(|(action, _)| action).collect()
    }

    /// Asserts that the end of the command is audited once, with the failure kind `end`.
    pub(crate) async fn assert_audited_once(
        &self,
        command_id: CommandId,
        end: Option<FailureKind>,
    ) {
        let audited = self.audit_entries(command_id).await;
        let ends: Vec<_> = audited
            .iter()
            .filter(|(action, _)| action == "command.complete" || action == "command.fail")
            .collect();
        assert_eq!(ends.len(), 1, "{audited:?}");
        assert_eq!(ends[0].1["failure_kind"], json!(end));
    }
}
