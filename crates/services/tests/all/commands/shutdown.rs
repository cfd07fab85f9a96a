//! A dispatcher that is told to end.

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
    let under_way = bed.submit(READ).await;
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
    let ended = bed.command(under_way).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    assert_eq!(bed.command(late).await.status, CommandStatus::Pending);
    let another = bed.start_dispatcher();
    assert_eq!(
        bed.wait_for_end(late).await.status,
        CommandStatus::Completed
    );
    another.stop().await;
}

/// A dispatcher gives a command up that hangs, and another goes on without any time passing.
struct GivenUp {
    name: &'static str,
    readings: Vec<Script>,
    own: Script,
    /// What hangs: a name, and which of those with that name.
    hanging: (&'static str, usize),
    end: Option<FailureKind>,
    /// All that is sent, by both.
    sent: &'static [&'static str],
}

impl GivenUp {
    async fn show(self) {
        let connector = ScriptedConnector::new().on(self.name, [self.own]);
        let bed = TestBed::new(connector.on(READ, self.readings)).await;
        let command_id = bed.submit(self.name).await;
        let running = bed.start_dispatcher();
        let (name, count) = self.hanging;
        bed.connector.wait_for_request(name, count).await;
        running.abort().await;
        bed.connector.wait_until_closed().await;
        let another = bed.start_dispatcher();
        let ended = bed.wait_for_end(command_id).await;
        if self.name == CLEAR && self.end.is_some() {
            // The probe belongs to what is sent.
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
    let reading = GivenUp {
        name: READ,
        readings: vec![hang(), answer()],
        own: answer(),
        hanging: (READ, 1),
        end: None,
        sent: &[READ, READ],
    };
    reading.show().await;
}

#[tokio::test]
async fn aborted_evidence_is_read_again() {
    let clearing = GivenUp {
        name: CLEAR,
        readings: vec![hang(), answer()],
        own: answer(),
        hanging: (READ, 1),
        end: None,
        sent: &[READ, READ, CLEAR, READ],
    };
    clearing.show().await;
}

#[tokio::test]
async fn an_aborted_clear_is_not_sent_again() {
    let clearing = GivenUp {
        name: CLEAR,
        readings: vec![answer()],
        own: hang(),
        hanging: (CLEAR, 1),
        end: Some(FailureKind::OutcomeUnknown),
        sent: &[READ, CLEAR, READ],
    };
    clearing.show().await;
}

#[tokio::test]
async fn an_aborted_report_is_read_again() {
    let clearing = GivenUp {
        name: CLEAR,
        readings: vec![answer(), hang(), answer()],
        own: answer(),
        hanging: (READ, 2),
        end: None,
        sent: &[READ, CLEAR, READ, READ],
    };
    clearing.show().await;
}

#[tokio::test]
async fn an_aborted_write_is_not_sent_again() {
    let writing = GivenUp {
        name: WRITE,
        readings: vec![answer()],
        own: hang(),
        hanging: (WRITE, 1),
        end: Some(FailureKind::OutcomeUnknown),
        sent: &[WRITE],
    };
    writing.show().await;
}
