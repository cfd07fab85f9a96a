//! A dispatcher that is told to end.

use sovd_domain::{CommandStatus, FailureKind};
use sovd_services::commands::Submission;

use crate::{
    fixture::{OFFLINE, Rig, submission},
    scripted_connector::{Script, Scripted, faults},
};

const READ: &str = "ReadDTC";
const CLEAR: &str = "ClearDTC";
const WRITE: &str = "WriteDataByID";

#[tokio::test]
async fn what_is_under_way_is_finished_and_nothing_else_begun() {
    let (feed, slow) = Script::fed();
    let rig = Rig::new(Scripted::new().on(READ, [slow])).await;
    rig.connect(OFFLINE).await;
    let under_way = rig.submit(READ).await;
    let running = rig.dispatch();
    rig.connector.was_sent(READ, 1).await;
    running.begin_stop();
    let late = Submission {
        vehicle_id: OFFLINE,
        ..submission("ReadDataByID")
    };
    let late = rig.send(late).await;
    feed.last(faults("P0420"));
    running.stop().await;
    let ended = rig.look_at(under_way).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    assert_eq!(rig.look_at(late).await.status, CommandStatus::Pending);
    let another = rig.dispatch();
    assert_eq!(rig.ended(late).await.status, CommandStatus::Completed);
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
        let connector = Scripted::new().on(self.name, [self.own]);
        let rig = Rig::new(connector.on(READ, self.readings)).await;
        let command_id = rig.submit(self.name).await;
        let running = rig.dispatch();
        let (name, count) = self.hanging;
        rig.connector.was_sent(name, count).await;
        running.give_up().await;
        rig.connector.was_left_alone().await;
        let another = rig.dispatch();
        let ended = rig.ended(command_id).await;
        if self.name == CLEAR && self.end.is_some() {
            // The probe belongs to what is sent.
            rig.becomes(command_id, |command| command.finding.is_some())
                .await;
        }
        another.stop().await;
        assert_eq!(ended.failure_kind, self.end);
        assert_eq!(rig.connector.names(), self.sent);
        rig.shows_one_end(command_id, self.end).await;
    }
}

fn hang() -> Script {
    Script::Hang(Vec::new())
}

fn answer() -> Script {
    Script::faults("")
}

#[tokio::test]
async fn a_reading_that_is_given_up_is_sent_again() {
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
async fn evidence_that_is_given_up_is_read_again() {
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
async fn a_clearing_that_is_given_up_is_not_sent_again() {
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
async fn a_report_that_is_given_up_is_read_again() {
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
async fn a_writing_that_is_given_up_is_not_sent_again() {
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
