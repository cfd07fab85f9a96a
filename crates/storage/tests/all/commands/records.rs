use sovd_domain::{Command, CommandId, CommandStatus, FailureKind, UserId};
use sovd_storage::commands;
use uuid::Uuid;

use crate::fixture::{Fleet, at, command};

#[derive(Debug, Clone, Copy)]
enum Step {
    Start,
    Complete,
    Fail,
}

async fn take(fleet: &Fleet, step: Step, id: CommandId, seconds: i64) -> Option<Command> {
    let mut connection = fleet.connection().await;
    let now = at(seconds);
    match step {
        Step::Start => commands::start(&mut connection, id, now).await,
        Step::Complete => commands::complete(&mut connection, id, now).await,
        Step::Fail => {
            commands::fail(&mut connection, id, FailureKind::Timeout, "no answer", now).await
        }
    }
    .unwrap()
}

/// A fleet with a command, and that command after the steps, one second apart.
async fn after(steps: &[Step]) -> (Fleet, Command) {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let id = fleet.submit(1, vehicle).await;
    for (seconds, step) in (1..).zip(steps) {
        let taken = take(&fleet, *step, id, seconds).await;
        assert_eq!(taken.unwrap(), fleet.stored(id).await);
    }
    let command = fleet.stored(id).await;
    (fleet, command)
}

#[tokio::test]
async fn a_stored_command_is_the_command() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = command(1, fleet.engineer, vehicle, at(7));
    fleet.store(&command).await;
    assert_eq!(fleet.stored(command.command_id).await, command);
}

#[tokio::test]
async fn a_command_goes_from_pending_over_in_progress_to_completed() {
    let (_fleet, pending) = after(&[]).await;
    assert_eq!(pending.status, CommandStatus::Pending);
    let (_fleet, started) = after(&[Step::Start]).await;
    assert_eq!(started.status, CommandStatus::InProgress);
    assert_eq!(started.started_at, Some(at(1)));
    assert_eq!(started.completed_at, None);
    let (_fleet, completed) = after(&[Step::Start, Step::Complete]).await;
    assert_eq!(completed.status, CommandStatus::Completed);
    assert_eq!(completed.started_at, Some(at(1)));
    assert_eq!(completed.completed_at, Some(at(2)));
    assert_eq!(completed.failure_kind, None);
}

#[tokio::test]
async fn a_command_fails_before_or_after_it_was_sent() {
    for (steps, started_at) in [
        (&[Step::Fail][..], None),
        (&[Step::Start, Step::Fail], Some(at(1))),
    ] {
        let (_fleet, failed) = after(steps).await;
        assert_eq!(failed.status, CommandStatus::Failed);
        assert_eq!(failed.failure_kind, Some(FailureKind::Timeout));
        assert_eq!(failed.error_message.as_deref(), Some("no answer"));
        assert_eq!(failed.started_at, started_at);
        assert!(failed.completed_at.is_some());
    }
}

#[tokio::test]
async fn a_step_out_of_order_changes_nothing() {
    for (steps, wrong) in [
        (&[][..], &[Step::Complete][..]),
        (&[Step::Start], &[Step::Start]),
        (
            &[Step::Start, Step::Complete],
            &[Step::Start, Step::Complete, Step::Fail],
        ),
        (&[Step::Fail], &[Step::Start, Step::Complete, Step::Fail]),
        (
            &[Step::Start, Step::Fail],
            &[Step::Start, Step::Complete, Step::Fail],
        ),
    ] {
        let (fleet, before) = after(steps).await;
        for step in wrong {
            let taken = take(&fleet, *step, before.command_id, 99).await;
            assert_eq!(taken, None, "{step:?} after {steps:?}");
            let command = fleet.stored(before.command_id).await;
            assert_eq!(command, before, "{step:?} after {steps:?}");
        }
    }
}

#[tokio::test]
async fn a_step_moves_no_other_command() {
    let (fleet, first) = after(&[]).await;
    let second = command(2, fleet.engineer, first.vehicle_id, at(0));
    fleet.store(&second).await;
    for step in [Step::Start, Step::Complete] {
        take(&fleet, step, first.command_id, 1).await.unwrap();
    }
    assert_eq!(fleet.stored(second.command_id).await, second);
    take(&fleet, Step::Fail, second.command_id, 1)
        .await
        .unwrap();
    let first = fleet.stored(first.command_id).await;
    assert_eq!(first.status, CommandStatus::Completed);
}

#[tokio::test]
async fn of_completing_and_failing_at_once_one_wins() {
    let (fleet, started) = after(&[Step::Start]).await;
    let id = started.command_id;
    let (completed, failed) = tokio::join!(
        take(&fleet, Step::Complete, id, 5),
        take(&fleet, Step::Fail, id, 6)
    );
    assert!(completed.is_some() != failed.is_some());
    assert_eq!(fleet.stored(id).await, completed.or(failed).unwrap());
}

#[tokio::test]
async fn a_stranger_s_command_is_not_found() {
    let (fleet, command) = after(&[]).await;
    let stranger = fleet.user("stranger").await;
    let mut connection = fleet.connection().await;
    let find = async |connection: &mut sovd_storage::Connection, id, owner: Option<UserId>| {
        commands::find(connection, id, owner).await.unwrap()
    };
    let id = command.command_id;
    let own = find(&mut connection, id, Some(fleet.engineer)).await;
    assert_eq!(own, Some(command));
    assert_eq!(find(&mut connection, id, Some(stranger)).await, None);
    let unknown = CommandId(Uuid::from_u128(99));
    assert_eq!(find(&mut connection, unknown, None).await, None);
}
