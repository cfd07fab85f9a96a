//! In which order commands are sent, and what wakes those that wait.

use sovd_domain::{CommandId, CommandStatus, FailureKind, VehicleId};
use sovd_services::commands::{Submission, dispatch::DispatchSettings};
use tokio_util::sync::CancellationToken;

use crate::{
    fixture::{OFFLINE, Rig, SETTINGS, VEHICLE, submission, within},
    scripted_connector::{Script, Scripted},
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

impl Scripted {
    /// The commands that were sent to the vehicle, in order.
    fn sent_to(&self, vehicle_id: VehicleId) -> Vec<CommandId> {
        let asked = self.asked().into_iter();
        let own = asked.filter(|request| request.vehicle_id == vehicle_id);
        own.map(|request| request.command_id).collect()
    }
}

#[tokio::test]
async fn commands_to_one_vehicle_run_one_after_the_other_as_they_came() {
    let rig = Rig::new(Scripted::new()).await;
    rig.connect(OFFLINE).await;
    let running = rig.dispatch();
    let mut ids = [Vec::new(), Vec::new()];
    for round in 0..50 {
        let name = if round % 3 == 0 { DATA } else { READ };
        for (vehicle_id, ids) in VEHICLES.into_iter().zip(&mut ids) {
            ids.push(rig.send(to(vehicle_id, name)).await);
        }
    }
    for (vehicle_id, ids) in VEHICLES.into_iter().zip(&ids) {
        for command_id in ids {
            let ended = rig.ended(*command_id).await;
            assert_eq!(ended.status, CommandStatus::Completed);
        }
        assert_eq!(&rig.connector.sent_to(vehicle_id), ids);
        assert_eq!(rig.connector.most_open(vehicle_id), 1);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_vehicle_that_hangs_holds_up_nobody_else() {
    let rig = Rig::new(Scripted::new().on(WRITE, [Script::Hang(Vec::new())])).await;
    let hanging = rig.submit(WRITE).await;
    let next = rig.submit(READ).await;
    let running = rig.dispatch();
    rig.connector.was_sent(WRITE, 1).await;
    // What passes it over is a command to another vehicle that runs beside the hanging one.
    rig.is_passed_over(next).await;
    assert_eq!(rig.connector.sent_to(VEHICLE), [hanging]);
    assert_eq!(rig.connector.most_open_in_all(), 2);
    rig.pass_timeout().await;
    let ended = rig.ended(next).await;
    assert_eq!(ended.status, CommandStatus::Completed);
    let ended = rig.ended(hanging).await;
    assert_eq!(ended.failure_kind, Some(FailureKind::OutcomeUnknown));
    assert_eq!(rig.connector.sent_to(VEHICLE), [hanging, next]);
    running.stop().await;
}

#[tokio::test]
async fn a_command_that_waits_for_its_next_try_is_not_overtaken() {
    let scripts = [Script::no_link(), Script::faults("")];
    let rig = Rig::new(Scripted::new().on(READ, scripts)).await;
    let first = rig.submit(READ).await;
    let next = rig.submit(DATA).await;
    let running = rig.dispatch();
    let due_at = rig.is_put_off(first).await;
    rig.is_passed_over(next).await;
    rig.pass_until(due_at).await;
    rig.ended(next).await;
    assert_eq!(rig.connector.sent_to(VEHICLE), [first, first, next]);
    running.stop().await;
}

#[tokio::test]
async fn two_dispatchers_send_each_command_once() {
    let rig = Rig::new(Scripted::new()).await;
    rig.connect(OFFLINE).await;
    let (one, two) = (rig.dispatch(), rig.dispatch());
    let mut ids = Vec::new();
    for round in 0..50 {
        let vehicle_id = VEHICLES[round % 2];
        ids.push(rig.send(to(vehicle_id, CLEAR)).await);
    }
    for command_id in &ids {
        let ended = rig.ended(*command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
        assert_eq!(rig.connector.executions(CLEAR, *command_id), 1);
    }
    for vehicle_id in VEHICLES {
        assert_eq!(rig.connector.most_open(vehicle_id), 1);
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_narrow_dispatcher_works_on_one_at_a_time() {
    let rig = Rig::new(Scripted::new()).await;
    rig.connect(OFFLINE).await;
    let mut ids = Vec::new();
    for round in 0..10 {
        let name = if round % 3 == 0 { CLEAR } else { READ };
        ids.push(rig.send(to(VEHICLES[round % 2], name)).await);
    }
    let running = rig.dispatch_with(DispatchSettings {
        concurrency: 1,
        ..SETTINGS
    });
    for command_id in &ids {
        let ended = rig.ended(*command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
    }
    running.stop().await;
    assert_eq!(rig.connector.most_open_in_all(), 1);
    let mut sent: Vec<_> = rig.connector.asked().iter().map(|r| r.command_id).collect();
    sent.dedup();
    assert_eq!(sent, ids);
}

#[tokio::test]
async fn a_vehicle_that_comes_back_gets_what_waits_for_it_at_once() {
    for elsewhere in [false, true] {
        let rig = Rig::new(Scripted::new()).await;
        let command_id = rig.send(to(OFFLINE, READ)).await;
        let running = if elsewhere {
            rig.dispatch_elsewhere()
        } else {
            rig.dispatch()
        };
        rig.is_heard_by(1).await;
        rig.connect(OFFLINE).await;
        let ended = rig.ended(command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_vehicle_that_comes_back_ends_the_pause_between_two_tries() {
    for elsewhere in [false, true] {
        let scripts = [Script::no_link(), Script::faults("")];
        let rig = Rig::new(Scripted::new().on(READ, scripts)).await;
        let command_id = rig.submit(READ).await;
        let running = if elsewhere {
            rig.dispatch_elsewhere()
        } else {
            rig.dispatch()
        };
        rig.is_heard_by(1).await;
        let due_at = rig.is_put_off(command_id).await;
        rig.disconnect(VEHICLE).await;
        rig.connect(VEHICLE).await;
        let ended = rig.ended(command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
        assert!(ended.completed_at.unwrap() < due_at);
        running.stop().await;
    }
}

#[tokio::test]
async fn new_work_is_told_to_dispatchers_elsewhere() {
    let rig = Rig::new(Scripted::new()).await;
    let stop = CancellationToken::new();
    let database = rig.parts.database.clone();
    let work_notifier = rig.parts.work_notifier.clone();
    let spreading = tokio::spawn(work_notifier.spread(database, stop.clone()));
    let running = rig.dispatch_elsewhere();
    rig.is_heard_by(1).await;
    for _ in 0..3 {
        let command_id = rig.submit(READ).await;
        let ended = rig.ended(command_id).await;
        assert_eq!(ended.status, CommandStatus::Completed);
    }
    running.stop().await;
    stop.cancel();
    within("it to be spread no more", spreading).await.unwrap();
}
