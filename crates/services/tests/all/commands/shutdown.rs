//! Shutdown of a dispatcher.

use sovd_domain::{CommandStatus, FailureKind};
use sovd_services::commands::Submission;

use crate::{
    fixture::{OFFLINE, TestBed, submission},
    scripted_connector::{Script, ScriptedConnector, faults},
};

const READ: &str = "ReadDTC";
const CLEAR: &str = "ClearDTC";
const WRITE: &str = "WriteDataByID";

#[tokio::test]
async fn finishes_commands_in_progress_and_starts_no_others() {
    let (feed, slow) = Script::fed();
    let bed = TestBed::new(ScriptedConnector::new().on(READ, [slow])).await;
    bed.connect(OFFLINE).await;
    let in_progress = bed.submit(READ).await;
    let running = bed.start_dispatcher();
    bed.connector.wait_for_request(READ, 1).await;
    running.drain();
    let late = Submission {
        vehicle_id: OFFLINE,
        ..submission("ReadDataByID")
    };
    let late = bed.submit_with(late).await;
    feed.last(faults("P0420"));
    running.stop().await;
    let ended = bed.command(in_progress).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    assert_eq!(bed.command(late).await.status, CommandStatus::Pending);
    let another = bed.start_dispatcher();
    assert_eq!(
        bed.wait_for_end(late).await.status,
        CommandStatus::Completed
    );
    another.stop().await;
}

/// One dispatcher aborts a hanging command, and another continues at once.
struct Abort {
    name: &'static str,
    reads: Vec<Script>,
    own: Script,
    /// The hanging request: its name, and its number among those with that name.
    hanging: (&'static str, usize),
    end: Option<FailureKind>,
    /// All requests of both dispatchers.
    sent: &'static [&'static str],
}

impl Abort {
    async fn check(self) {
        let connector = ScriptedConnector::new().on(self.name, [self.own]);
        let bed = TestBed::new(connector.on(READ, self.reads)).await;
        let command_id = bed.submit(self.name).await;
        let running = bed.start_dispatcher();
        let (name, count) = self.hanging;
        bed.connector.wait_for_request(name, count).await;
        running.abort().await;
        bed.connector.wait_until_closed().await;
        let another = bed.start_dispatcher();
        let ended = bed.wait_for_end(command_id).await;
        if self.name == CLEAR && self.end.is_some() {
            // The probe is among the requests.
            bed.wait_until(command_id, |command| command.finding.is_some())
                .await;
        }
        another.stop().await;
        assert_eq!(ended.failure_kind, self.end);
        assert_eq!(bed.connector.command_names(), self.sent);
        bed.assert_audited_once(command_id, self.end).await;
    }
}

fn hang() -> Script {
    Script::Hang(Vec::new())
}

fn answer() -> Script {
    Script::faults("")
}

#[tokio::test]
async fn an_aborted_read_is_sent_again() {
    let abort = Abort {
        name: READ,
        reads: vec![hang(), answer()],
        own: answer(),
        hanging: (READ, 1),
        end: None,
        sent: &[READ, READ],
    };
    abort.check().await;
}

#[tokio::test]
async fn aborted_evidence_is_read_again() {
    let abort = Abort {
        name: CLEAR,
        reads: vec![hang(), answer()],
        own: answer(),
        hanging: (READ, 1),
        end: None,
        sent: &[READ, READ, CLEAR, READ],
    };
    abort.check().await;
}

#[tokio::test]
async fn an_aborted_clear_is_not_sent_again() {
    let abort = Abort {
        name: CLEAR,
        reads: vec![answer()],
        own: hang(),
        hanging: (CLEAR, 1),
        end: Some(FailureKind::OutcomeUnknown),
        sent: &[READ, CLEAR, READ],
    };
    abort.check().await;
}

#[tokio::test]
async fn an_aborted_report_is_read_again() {
    let abort = Abort {
        name: CLEAR,
        reads: vec![answer(), hang(), answer()],
        own: answer(),
        hanging: (READ, 2),
        end: None,
        sent: &[READ, CLEAR, READ, READ],
    };
    abort.check().await;
}

#[tokio::test]
async fn an_aborted_write_is_not_sent_again() {
    let abort = Abort {
        name: WRITE,
        reads: vec![answer()],
        own: hang(),
        hanging: (WRITE, 1),
        end: Some(FailureKind::OutcomeUnknown),
        sent: &[WRITE],
    };
    abort.check().await;
}
