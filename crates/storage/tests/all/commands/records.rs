use sovd_domain::{Command, CommandId, CommandStatus, FailureKind, UserId};
use sovd_storage::commands;
use uuid::Uuid;

use crate::fixture::{Fleet, at, command};

#[derive(Debug, Clone, Copy)]
enum Transition {
    Start,
    Complete,
    Fail,
}

async fn apply(
    fleet: &Fleet,
    transition: Transition,
    id: CommandId,
    seconds: i64,
) -> Option<Command> {
    let mut connection = fleet.connection().await;
    let now = at(seconds);
    match transition {
        Transition::Start => commands::start(&mut connection, id, now).await,
        Transition::Complete => commands::complete(&mut connection, id, now).await,
        Transition::Fail => {
            commands::fail(&mut connection, id, FailureKind::Timeout, "no answer", now).await
        }
    }
    .unwrap()
}

/// Returns a fleet with a command, and the command after the transitions, one second apart.
async fn after(transitions: &[Transition]) -> (Fleet, Command) {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let id = fleet.submit(1, vehicle).await;
    for (seconds, transition) in (1..).zip(transitions) {
        let applied = apply(&fleet, *transition, id, seconds).await;
        assert_eq!(applied.unwrap(), fleet.stored(id).await);
    }
    let command = fleet.stored(id).await;
    (fleet, command)
}

#[tokio::test]
async fn stores_every_field_of_a_command() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = command(1, fleet.engineer, vehicle, at(7));
    fleet.store(&command).await;
    assert_eq!(fleet.stored(command.command_id).await, command);
}

#[tokio::test]
async fn moves_from_pending_through_in_progress_to_completed() {
    let (_fleet, pending) = after(&[]).await;
    assert_eq!(pending.status, CommandStatus::Pending);
    let (_fleet, started) = after(&[Transition::Start]).await;
    assert_eq!(started.status, CommandStatus::InProgress);
    assert_eq!(started.started_at, Some(at(1)));
    assert_eq!(started.completed_at, None);
    let (_fleet, completed) = after(&[Transition::Start, Transition::Complete]).await;
    assert_eq!(completed.status, CommandStatus::Completed);
    assert_eq!(completed.started_at, Some(at(1)));
    assert_eq!(completed.completed_at, Some(at(2)));
    assert_eq!(completed.failure_kind, None);
}

#[tokio::test]
async fn fails_from_pending_or_in_progress() {
    for (transitions, started_at) in [
        (&[Transition::Fail][..], None),
        (&[Transition::Start, Transition::Fail], Some(at(1))),
    ] {
        let (_fleet, failed) = after(transitions).await;
        assert_eq!(failed.status, CommandStatus::Failed);
        assert_eq!(failed.failure_kind, Some(FailureKind::Timeout));
        assert_eq!(failed.error_message.as_deref(), Some("no answer"));
        assert_eq!(failed.started_at, started_at);
        assert!(failed.completed_at.is_some());
    }
}

#[tokio::test]
async fn a_transition_from_another_state_has_no_effect() {
    for (transitions, wrong) in [
        (&[][..], &[Transition::Complete][..]),
        (&[Transition::Start], &[Transition::Start]),
        (
            &[Transition::Start, Transition::Complete],
            &[Transition::Start, Transition::Complete, Transition::Fail],
        ),
        (
            &[Transition::Fail],
            &[Transition::Start, Transition::Complete, Transition::Fail],
        ),
        (
            &[Transition::Start, Transition::Fail],
            &[Transition::Start, Transition::Complete, Transition::Fail],
        ),
    ] {
        let (fleet, before) = after(transitions).await;
        for transition in wrong {
            let applied = apply(&fleet, *transition, before.command_id, 99).await;
            assert_eq!(applied, None, "{transition:?} after {transitions:?}");
            let command = fleet.stored(before.command_id).await;
            assert_eq!(command, before, "{transition:?} after {transitions:?}");
        }
    }
}

#[tokio::test]
async fn a_transition_affects_no_other_command() {
    let (fleet, first) = after(&[]).await;
    let second = command(2, fleet.engineer, first.vehicle_id, at(0));
    fleet.store(&second).await;
    for transition in [Transition::Start, Transition::Complete] {
        apply(&fleet, transition, first.command_id, 1)
            .await
            .unwrap();
    }
    assert_eq!(fleet.stored(second.command_id).await, second);
    apply(&fleet, Transition::Fail, second.command_id, 1)
        .await
        .unwrap();
    let first = fleet.stored(first.command_id).await;
    assert_eq!(first.status, CommandStatus::Completed);
}

#[tokio::test]
async fn one_of_concurrent_completion_and_failure_wins() {
    let (fleet, started) = after(&[Transition::Start]).await;
    let id = started.command_id;
    let (completed, failed) = tokio::join!(
        apply(&fleet, Transition::Complete, id, 5),
        apply(&fleet, Transition::Fail, id, 6)
    );
    assert!(completed.is_some() != failed.is_some());
    assert_eq!(fleet.stored(id).await, completed.or(failed).unwrap());
}

#[tokio::test]
async fn does_not_find_commands_of_another_owner() {
    let (fleet, command) = after(&[]).await;
    let other = fleet.user("other").await;
    let mut connection = fleet.connection().await;
    let find = async |connection: &mut sovd_storage::Connection, id, owner: Option<UserId>| {
        commands::find(connection, id, owner).await.unwrap()
    };
    let id = command.command_id;
    let own = find(&mut connection, id, Some(fleet.engineer)).await;
    assert_eq!(own, Some(command));
    assert_eq!(find(&mut connection, id, Some(other)).await, None);
    let unknown = CommandId(Uuid::from_u128(99));
    assert_eq!(find(&mut connection, unknown, None).await, None);
}
