//! The order of commands, and the notifications that wake the dispatcher.

use sovd_domain::{CommandId, CommandStatus, FailureKind, VehicleId};
use sovd_services::commands::{Submission, dispatch::DispatchSettings};
use tokio_util::sync::CancellationToken;

use crate::{
    fixture::{OFFLINE, SETTINGS, TestBed, VEHICLE, submission, within},
    scripted_connector::{Script, ScriptedConnector},
};

const READ: &str = "ReadDTC";
const DATA: &str = "ReadDataByID";
const WRITE: &str = "WriteDataByID";
const CLEAR: &str = "ClearDTC";
const VEHICLES: [VehicleId; 2] = [VEHICLE, OFFLINE];

fn to(vehicle_id: VehicleId, name: &str) -> Submission {
    Submission {
        vehicle_id,
        ..submission(name)
    }
}

impl ScriptedConnector {
    /// Returns the commands sent to the vehicle, in order.
    fn sent_to(&self, vehicle_id: VehicleId) -> Vec<CommandId> {
        let requests = self.requests().into_iter();
        let own = requests.filter(|request| request.vehicle_id == vehicle_id);
        own.map(|request| request.command_id).collect()
    }
}

#[tokio::test]
async fn commands_for_one_vehicle_run_in_order_of_submission() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    bed.connect(OFFLINE).await;
    let running = bed.start_dispatcher();
    let mut ids = [Vec::new(), Vec::new()];
    for round in 0..50 {
        let name = if round % 3 == 0 { DATA } else { READ };
        for (vehicle_id, ids) in VEHICLES.into_iter().zip(&mut ids) {
            ids.push(bed.submit_with(to(vehicle_id, name)).await);
        }
    }
    for (vehicle_id, ids) in VEHICLES.into_iter().zip(&ids) {
        for command_id in ids {
            let ended = bed.wait_for_end(*command_id).await;
            assert_eq!(ended.status, CommandStatus::Completed);
        }
        assert_eq!(&bed.connector.sent_to(vehicle_id), ids);
        assert_eq!(bed.connector.max_open_streams(vehicle_id), 1);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_hanging_vehicle_does_not_block_others() {
    let bed = TestBed::new(ScriptedConnector::new().on(WRITE, [Script::Hang(Vec::new())])).await;
    let hanging = bed.submit(WRITE).await;
    let next = bed.submit(READ).await;
    let running = bed.start_dispatcher();
    bed.connector.wait_for_request(WRITE, 1).await;
    // The assertion runs a command for another vehicle beside the hanging one.
    bed.assert_not_claimed(next).await;
    assert_eq!(bed.connector.sent_to(VEHICLE), [hanging]);
    assert_eq!(bed.connector.max_open_streams_total(), 2);
    bed.advance_past_timeout().await;
    let ended = bed.wait_for_end(next).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    let ended = bed.wait_for_end(hanging).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::OutcomeUnknown));
    assert_eq!(bed.connector.sent_to(VEHICLE), [hanging, next]);
    running.stop().await;
}

#[tokio::test]
async fn a_command_awaiting_its_retry_is_not_overtaken() {
    let scripts = [Script::unreachable(), Script::faults("")];
    let bed = TestBed::new(ScriptedConnector::new().on(READ, scripts)).await;
    let first = bed.submit(READ).await;
    let next = bed.submit(DATA).await;
    let running = bed.start_dispatcher();
    let due_at = bed.wait_for_retry(first).await;
    bed.assert_not_claimed(next).await;
    bed.advance_to(due_at).await;
    bed.wait_for_end(next).await;
    assert_eq!(bed.connector.sent_to(VEHICLE), [first, first, next]);
    running.stop().await;
}

#[tokio::test]
async fn two_dispatchers_send_each_command_once() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    bed.connect(OFFLINE).await;
    let (one, two) = (bed.start_dispatcher(), bed.start_dispatcher());
    let mut ids = Vec::new();
    for round in 0..50 {
        let vehicle_id = VEHICLES[round % 2];
        ids.push(bed.submit_with(to(vehicle_id, CLEAR)).await);
    }
    for command_id in &ids {
        let ended = bed.wait_for_end(*command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
        assert_eq!(bed.connector.request_count(CLEAR, *command_id), 1);
    }
    for vehicle_id in VEHICLES {
        assert_eq!(bed.connector.max_open_streams(vehicle_id), 1);
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn respects_the_concurrency_limit() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    bed.connect(OFFLINE).await;
    let mut ids = Vec::new();
    for round in 0..10 {
        let name = if round % 3 == 0 { CLEAR } else { READ };
        ids.push(bed.submit_with(to(VEHICLES[round % 2], name)).await);
    }
    let running = bed.start_dispatcher_with(DispatchSettings {
        concurrency: 1,
        ..SETTINGS
    });
    for command_id in &ids {
        let ended = bed.wait_for_end(*command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
    }
    running.stop().await;
    assert_eq!(bed.connector.max_open_streams_total(), 1);
    let mut sent: Vec<_> = bed
        .connector
        .requests()
        .iter()
        .map(|r| r.command_id)
        .collect();
    sent.dedup();
    assert_eq!(sent, ids);
}

#[tokio::test]
async fn a_reconnected_vehicle_gets_its_commands_at_once() {
    for elsewhere in [false, true] {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        let command_id = bed.submit_with(to(OFFLINE, READ)).await;
        let running = if elsewhere {
            bed.start_remote_dispatcher()
        } else {
            bed.start_dispatcher()
        };
        bed.wait_for_listeners(1).await;
        bed.connect(OFFLINE).await;
        let ended = bed.wait_for_end(command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
        running.stop().await;
    }
}

#[tokio::test]
async fn reconnection_ends_the_backoff() {
    for elsewhere in [false, true] {
        let scripts = [Script::unreachable(), Script::faults("")];
        let bed = TestBed::new(ScriptedConnector::new().on(READ, scripts)).await;
        let command_id = bed.submit(READ).await;
        let running = if elsewhere {
            bed.start_remote_dispatcher()
        } else {
            bed.start_dispatcher()
        };
        bed.wait_for_listeners(1).await;
        let due_at = bed.wait_for_retry(command_id).await;
        bed.disconnect(VEHICLE).await;
        bed.connect(VEHICLE).await;
        let ended = bed.wait_for_end(command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
        assert!(ended.completed_at.unwrap() < due_at);
        running.stop().await;
    }
}

#[tokio::test]
async fn notifies_dispatchers_of_other_processes() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let stop = CancellationToken::new();
    let database = bed.parts.database.clone();
    let work_notifier = bed.parts.work_notifier.clone();
    let forwarding = tokio::spawn(work_notifier.forward(database, stop.clone()));
    let running = bed.start_remote_dispatcher();
    bed.wait_for_listeners(1).await;
    for _ in 0..3 {
        let command_id = bed.submit(READ).await;
        let ended = bed.wait_for_end(command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
    }
    running.stop().await;
    stop.cancel();
    within("forwarding to stop", forwarding).await.unwrap();
}
