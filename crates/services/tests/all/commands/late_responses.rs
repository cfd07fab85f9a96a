//! Races between responses and cancellations.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use sovd_domain::{CommandStatus, FailureKind};
use sovd_services::ServiceError;
use tokio::task::yield_now;

use crate::{
    captured_log::CapturedLog,
    fixture::{TestBed, engineer},
    scripted_connector::{Script, ScriptedConnector},
};

const READ: &str = "ReadDTC";
const WRITE: &str = "WriteDataByID";

impl TestBed {
    /// Disconnects the listener of the dispatcher, which reconnects a second later.
    async fn disconnect_listener(&self) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND query = 'LISTEN sovd_queue'";
        let listeners = self.sql().await.query(sql, &[]).await.unwrap();
        assert_eq!(listeners.len(), 1);
        self.wait_for_listeners(0).await;
    }

    /// Cancels a command while its dispatcher may not be listening, and responds right afterwards.
    async fn respond_too_late(&self, sent: usize) {
        let (feed, script) = Script::fed();
        Arc::clone(&self.connector).on(WRITE, [script]);
        let command_id = self.submit(WRITE).await;
        self.connector.wait_for_request(WRITE, sent).await;
        feed.more(json!({ "value": "1" }));
        self.wait_for_responses(command_id, 1).await;
        self.wait_for_listeners(1).await;
        self.disconnect_listener().await;
        let ended = self.commands.cancel(&engineer(), command_id).await;
        let ended = ended.unwrap();
        feed.last(json!({ "value": "2" }));
        self.connector.wait_until_closed().await;
        assert_eq!(ended.failure_kind, Some(FailureKind::OutcomeUnknown));
        assert_eq!(self.command(command_id).await, ended);
        assert_eq!(self.responses(command_id).await.len(), 1);
        let published = self.published(command_id).await;
        assert!(published.last().unwrap().is_terminal(), "{published:?}");
        self.assert_audited_once(command_id, ended.failure_kind)
            .await;
    }
}

#[tokio::test]
async fn a_response_before_the_cancellation_notice_is_discarded_and_logged() {
    let log = CapturedLog::start();
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let running = bed.start_dispatcher();
    // On a slow machine the dispatcher may reconnect too early, so the test tries again.
    for sent in 1..=5 {
        bed.respond_too_late(sent).await;
        if log.contains("late response not stored") {
            break;
        }
    }
    running.stop().await;
    assert!(log.contains("late response not stored"));
}

#[tokio::test]
async fn a_cancellation_notice_closes_the_response_stream() {
    let log = CapturedLog::start();
    let (feed, script) = Script::fed();
    let bed = TestBed::new(ScriptedConnector::new().on(WRITE, [script])).await;
    let command_id = bed.submit(WRITE).await;
    let running = bed.start_dispatcher();
    bed.wait_for_listeners(1).await;
    bed.connector.wait_for_request(WRITE, 1).await;
    let ended = bed.commands.cancel(&engineer(), command_id).await.unwrap();
    bed.connector.wait_until_closed().await;
    feed.last(json!({ "value": "1" }));
    running.stop().await;
    assert!(log.contains("further responses are not stored"));
    assert!(!log.contains("late response not stored"));
    assert!(bed.responses(command_id).await.is_empty());
    assert_eq!(bed.command(command_id).await, ended);
}

/// Delays the cancellation a little longer after each win and a little less after each loss, so that both
/// coincide repeatedly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_concurrent_response_and_cancellation_wins() {
    const RACES: usize = 200;
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let running = bed.start_dispatcher();
    bed.wait_for_listeners(1).await;
    let mut delay = Duration::from_micros(100);
    let mut won = 0;
    let mut ends = Vec::new();
    for race in 0..RACES {
        let name = if race % 2 == 0 { READ } else { WRITE };
        let command_id = bed.submit(name).await;
        let start = Instant::now();
        while start.elapsed() < delay {
            yield_now().await;
        }
        let cancelled = bed.commands.cancel(&engineer(), command_id).await;
        let ended = bed.wait_for_end(command_id).await;
        match cancelled {
            Ok(command) => {
                won += 1;
                delay = delay * 5 / 4;
                assert_eq!(command, ended);
                assert_eq!(ended.status, CommandStatus::Failed);
            }
            Err(ServiceError::NotCancellable { .. }) => {
                delay = delay * 4 / 5;
                assert_eq!(ended.status, CommandStatus::Completed);
            }
            Err(error) => panic!("{error}"),
        }
        ends.push(ended);
    }
    running.stop().await;
    assert!(won > 0 && won < RACES, "{won} of {RACES}");
    for ended in ends {
        let command_id = ended.command_id;
        assert_eq!(bed.command(command_id).await, ended);
        bed.assert_audited_once(command_id, ended.failure_kind)
            .await;
        let actions = bed.audit_actions(command_id).await;
        let cancels = actions.iter().filter(|action| *action == "command.cancel");
        let is_cancelled = ended.status == CommandStatus::Failed;
        assert_eq!(cancels.count(), usize::from(is_cancelled), "{actions:?}");
        let published = bed.published(command_id).await;
        let terminal = published.iter().filter(|event| event.is_terminal());
        assert_eq!(terminal.count(), 1, "{published:?}");
    }
}
