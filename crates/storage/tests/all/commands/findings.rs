use sovd_domain::{Command, CommandId, FailureKind, Finding};
use sovd_storage::commands;
use uuid::Uuid;

use crate::{
    constraints::check,
    fixture::{Fleet, at},
};

/// Returns a fleet with a command that failed with `kind`.
async fn failed(kind: FailureKind) -> (Fleet, Command) {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let id = fleet.submit(1, vehicle).await;
    let mut connection = fleet.connection().await;
    let failed = commands::fail(&mut connection, id, kind, "no answer", at(1)).await;
    (fleet, failed.unwrap().unwrap())
}

async fn add(fleet: &Fleet, id: CommandId, finding: Finding) -> Option<Command> {
    let mut connection = fleet.connection().await;
    commands::add_finding(&mut connection, id, finding)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_finding_is_added_once() {
    for &finding in Finding::ALL {
        let (fleet, before) = failed(FailureKind::OutcomeUnknown).await;
        assert_eq!(before.finding, None);
        let expected = Command {
            finding: Some(finding),
            ..before
        };
        let id = expected.command_id;
        let after = add(&fleet, id, finding).await;
        assert_eq!(after.as_ref(), Some(&expected));
        for &second in Finding::ALL {
            assert_eq!(add(&fleet, id, second).await, None);
        }
        assert_eq!(fleet.stored(id).await, expected);
    }
}

#[tokio::test]
async fn one_of_two_concurrent_findings_is_added() {
    let (fleet, command) = failed(FailureKind::OutcomeUnknown).await;
    let id = command.command_id;
    let (one, other) = tokio::join!(
        add(&fleet, id, Finding::Cleared),
        add(&fleet, id, Finding::NotCleared)
    );
    assert!(one.is_some() != other.is_some());
    assert_eq!(fleet.stored(id).await, one.or(other).unwrap());
}

#[tokio::test]
async fn only_an_unknown_outcome_can_have_a_finding() {
    for &kind in FailureKind::ALL {
        let (fleet, command) = failed(kind).await;
        let id = command.command_id;
        let after = add(&fleet, id, Finding::Cleared).await;
        assert_eq!(
            after.is_some(),
            kind == FailureKind::OutcomeUnknown,
            "{kind}"
        );
        if after.is_none() {
            assert_eq!(fleet.stored(id).await, command, "{kind}");
        }
    }
}

#[tokio::test]
async fn a_command_that_has_not_failed_has_no_finding() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let id = fleet.submit(1, vehicle).await;
    let mut connection = fleet.connection().await;
    assert_eq!(add(&fleet, id, Finding::CannotTell).await, None);
    commands::start(&mut connection, id, at(1)).await.unwrap();
    assert_eq!(add(&fleet, id, Finding::CannotTell).await, None);
    commands::complete(&mut connection, id, at(2))
        .await
        .unwrap();
    assert_eq!(add(&fleet, id, Finding::CannotTell).await, None);
    assert_eq!(fleet.stored(id).await.finding, None);
    let unknown = CommandId(Uuid::from_u128(99));
    assert_eq!(add(&fleet, unknown, Finding::Cleared).await, None);
}

#[tokio::test]
async fn a_finding_belongs_to_one_command() {
    let (fleet, command) = failed(FailureKind::OutcomeUnknown).await;
    let other = fleet.submit(2, command.vehicle_id).await;
    let mut connection = fleet.connection().await;
    let kind = FailureKind::OutcomeUnknown;
    commands::fail(&mut connection, other, kind, "", at(1))
        .await
        .unwrap();
    add(&fleet, other, Finding::Cleared).await.unwrap();
    assert_eq!(fleet.stored(command.command_id).await, command);
}

#[tokio::test]
async fn the_database_rejects_findings_of_known_outcomes() {
    let (fleet, _) = failed(FailureKind::OutcomeUnknown).await;
    for finding in Finding::ALL {
        let sql = format!("UPDATE commands SET finding = '{finding}'");
        fleet.client.batch_execute(&sql).await.unwrap();
    }
    let word = "UPDATE commands SET finding = 'Cleared'";
    assert_eq!(check(&fleet, word).await, "chk_commands_finding");
    for sql in [
        "UPDATE commands SET status = 'pending', failure_kind = NULL",
        "UPDATE commands SET status = 'completed', failure_kind = NULL",
        "UPDATE commands SET failure_kind = 'timeout'",
    ] {
        let constraint = check(&fleet, sql).await;
        assert_eq!(constraint, "chk_commands_finding_when_unknown", "{sql}");
    }
}

#[tokio::test]
async fn an_unreadable_finding_is_reported_with_its_row() {
    let (fleet, command) = failed(FailureKind::OutcomeUnknown).await;
    fleet
        .client
        .batch_execute(
            "ALTER TABLE commands DROP CONSTRAINT chk_commands_finding;
             UPDATE commands SET finding = 'perhaps'",
        )
        .await
        .unwrap();
    let id = command.command_id;
    let found = commands::find(&mut *fleet.connection().await, id, None).await;
    match found.unwrap_err() {
        sovd_storage::StorageError::CorruptRow {
            table, column, row, ..
        } => assert_eq!(
            (table, column, row),
            ("commands", "finding", id.to_string())
        ),
        error => panic!("{error:?}"),
    }
}
