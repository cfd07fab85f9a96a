use std::fs;

use sovd_devstack::{Stack, TestDatabase};
use sovd_domain::{FailureKind, Finding};
use sovd_storage::{
    StorageError,
    commands::{self, queue},
    migrations::{self, Steps},
};
use uuid::Uuid;

use crate::{
    commands::idempotency::{known, remember_since},
    fixture::{Fleet, at, migrated},
    system_catalog,
};

async fn empty() -> TestDatabase {
    Stack::shared().unwrap().empty_database().await.unwrap()
}

async fn facts(database: &TestDatabase) -> Vec<String> {
    system_catalog::all(&database.client().await.unwrap()).await
}

/// Which migrations are applied, oldest first.
async fn applied(database: &TestDatabase) -> Vec<bool> {
    let states = migrations::status(database.url()).await.unwrap();
    states.iter().map(|state| state.applied).collect()
}

#[tokio::test]
async fn up_applies_everything_once_and_in_order() {
    let database = empty().await;
    assert!(!applied(&database).await.contains(&true));
    let names = migrations::up(database.url()).await.unwrap();
    assert_eq!(names[0], "00000000000001_command_execution");
    assert!(names.is_sorted());
    assert_eq!(applied(&database).await, vec![true; names.len()]);
    let states = migrations::status(database.url()).await.unwrap();
    assert!(states.iter().map(|state| &state.name).eq(&names));
    let again = migrations::up(database.url()).await.unwrap();
    assert_eq!(again, [""; 0]);
}

#[tokio::test]
async fn down_reverts_one_step_and_up_applies_it_again() {
    let database = migrated().await;
    let before = facts(&database).await;
    let mut expected = applied(&database).await;
    let reverted = migrations::down(database.url(), Steps::Count(1)).await;
    let reverted = reverted.unwrap();
    *expected.last_mut().unwrap() = false;
    assert_eq!(applied(&database).await, expected);
    assert_ne!(facts(&database).await, before);
    assert_eq!(migrations::up(database.url()).await.unwrap(), reverted);
    assert_eq!(facts(&database).await, before);
}

#[tokio::test]
async fn down_to_nothing_and_up_again_ends_in_the_same_schema() {
    let database = migrated().await;
    let before = facts(&database).await;
    let mut reverted = migrations::down(database.url(), Steps::All).await.unwrap();
    assert_eq!(facts(&database).await, [""; 0]);
    assert!(!applied(&database).await.contains(&true));
    reverted.reverse();
    assert_eq!(migrations::up(database.url()).await.unwrap(), reverted);
    assert_eq!(facts(&database).await, before);
}

#[tokio::test]
async fn every_migration_can_be_reverted_alone() {
    let database = empty().await;
    let count = migrations::up(database.url()).await.unwrap().len();
    for left in (0..count).rev() {
        let before = facts(&database).await;
        migrations::down(database.url(), Steps::Count(1))
            .await
            .unwrap();
        migrations::up(database.url()).await.unwrap();
        migrations::down(database.url(), Steps::Count(count - left - 1))
            .await
            .unwrap();
        assert_eq!(facts(&database).await, before);
        migrations::down(database.url(), Steps::Count(1))
            .await
            .unwrap();
    }
    assert_eq!(facts(&database).await, [""; 0]);
}

/// Runs each up.sql directly, because the program can only apply all pending migrations.
#[tokio::test]
async fn every_down_restores_the_schema_before_its_up() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let entries = fs::read_dir(directory).unwrap();
    let mut scripts: Vec<_> = entries
        .map(|entry| entry.unwrap().path().join("up.sql"))
        .filter(|script| script.exists())
        .collect();
    scripts.sort();
    let by_hand = empty().await;
    let client = by_hand.client().await.unwrap();
    let mut steps = Vec::new();
    for script in scripts {
        steps.push(facts(&by_hand).await);
        let script = fs::read_to_string(script).unwrap();
        client.batch_execute(&script).await.unwrap();
    }
    let database = migrated().await;
    assert_eq!(facts(&database).await, facts(&by_hand).await);
    while let Some(before) = steps.pop() {
        migrations::down(database.url(), Steps::Count(1))
            .await
            .unwrap();
        assert_eq!(facts(&database).await, before);
    }
}

/// A migration that another branch numbered lower may arrive later.
#[tokio::test]
async fn up_applies_a_missing_earlier_migration_first() {
    let database = migrated().await;
    let mut expected = facts(&database).await;
    let later = Steps::Count(applied(&database).await.len() - 6);
    let mut missing = migrations::down(database.url(), later).await.unwrap();
    let second = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../migrations/00000000000002_predictive_maintenance/down.sql"
    ));
    let client = database.client().await.unwrap();
    client.batch_execute(&second.unwrap()).await.unwrap();
    let forget = "DELETE FROM __diesel_schema_migrations WHERE version = '00000000000002'";
    client.batch_execute(forget).await.unwrap();
    missing.push("00000000000002_predictive_maintenance".to_owned());
    missing.reverse();
    assert_eq!(migrations::up(database.url()).await.unwrap(), missing);
    // Only the order of columns may differ.
    let mut found = facts(&database).await;
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn predictive_maintenance_is_not_reverted_while_a_user_has_one_of_its_roles() {
    let database = migrated().await;
    let client = database.client().await.unwrap();
    let customer = "INSERT INTO users (username, email, password_hash, role)
                    VALUES ('owner', 'owner@example.com', '', 'customer')";
    client.batch_execute(customer).await.unwrap();
    let before = facts(&database).await;
    let count = applied(&database).await.len();
    let later = Steps::Count(count - 2);
    migrations::down(database.url(), later).await.unwrap();
    let refused = migrations::down(database.url(), Steps::Count(1)).await;
    assert!(matches!(refused, Err(StorageError::Migration(_))));
    migrations::up(database.url()).await.unwrap();
    assert_eq!(facts(&database).await, before);
}

#[tokio::test]
async fn down_reverts_at_most_the_applied_migrations() {
    let database = empty().await;
    for steps in [Steps::All, Steps::Count(3)] {
        let reverted = migrations::down(database.url(), steps).await.unwrap();
        assert_eq!(reverted, [""; 0]);
    }
    let count = migrations::up(database.url()).await.unwrap().len();
    let none = migrations::down(database.url(), Steps::Count(0)).await;
    assert_eq!(none.unwrap(), [""; 0]);
    let all = migrations::down(database.url(), Steps::Count(99)).await;
    assert_eq!(all.unwrap().len(), count);
}

#[tokio::test]
async fn redo_applies_the_latest_migration_again() {
    let database = migrated().await;
    let before = facts(&database).await;
    let states = migrations::status(database.url()).await.unwrap();
    let redone = migrations::redo(database.url()).await.unwrap();
    assert_eq!(redone.as_ref(), states.last().map(|state| &state.name));
    assert_eq!(facts(&database).await, before);
}

#[tokio::test]
async fn redo_of_an_empty_database_does_nothing() {
    let database = empty().await;
    assert_eq!(migrations::redo(database.url()).await.unwrap(), None);
    assert!(!applied(&database).await.contains(&true));
}

#[tokio::test]
async fn redo_leaves_pending_migrations_pending() {
    let database = migrated().await;
    migrations::down(database.url(), Steps::Count(1))
        .await
        .unwrap();
    let before = applied(&database).await;
    migrations::redo(database.url()).await.unwrap();
    assert_eq!(applied(&database).await, before);
}

#[tokio::test]
async fn two_processes_that_start_at_once_migrate_once() {
    let database = empty().await;
    let (one, other) = tokio::join!(
        migrations::up(database.url()),
        migrations::up(database.url())
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(one.is_empty() != other.is_empty(), "{one:?} {other:?}");
    assert!(!applied(&database).await.contains(&false));
}

#[tokio::test]
async fn down_fails_at_a_migration_of_a_newer_program() {
    let database = migrated().await;
    let client = database.client().await.unwrap();
    client
        .batch_execute("INSERT INTO __diesel_schema_migrations VALUES ('99999999999999')")
        .await
        .unwrap();
    let error = migrations::down(database.url(), Steps::All)
        .await
        .unwrap_err();
    assert!(matches!(error, StorageError::Migration(_)), "{error:?}");
    assert!(error.to_string().contains("99999999999999"), "{error}");
    assert!(!applied(&database).await.contains(&false));
    assert_eq!(migrations::up(database.url()).await.unwrap(), [""; 0]);
}

/// Before the renumbering there were sixteen migrations, and their numbers from 3 on have other content now.
#[tokio::test]
async fn a_database_from_before_the_renumbering_is_refused() {
    let database = migrated().await;
    let client = database.client().await.unwrap();
    let older = "ALTER TABLE audit_prunings RENAME TO audit_cuts;
                  INSERT INTO __diesel_schema_migrations
                  SELECT lpad(number::text, 14, '0') FROM generate_series(10, 16) number
                  ON CONFLICT DO NOTHING";
    client.batch_execute(older).await.unwrap();
    let url = database.url();
    for refused in [
        migrations::up(url).await.err(),
        migrations::status(url).await.err(),
        migrations::down(url, Steps::All).await.err(),
        migrations::redo(url).await.err(),
    ] {
        assert_eq!(
            refused.unwrap().to_string(),
            "migration failed: the applied migrations up to 00000000000016 belong to an older series \
             with the same numbers, because the table audit_prunings is missing; create the database \
             again"
        );
    }
}

/// The published model has commands, but no queue.
#[tokio::test]
async fn unfinished_commands_enter_the_queue_when_it_is_added() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    for (number, submitted) in [(1, 30), (2, 10), (3, 20)] {
        let command = crate::fixture::command(number, fleet.engineer, vehicle, at(submitted));
        fleet.store(&command).await;
    }
    let [last, first, completed] = [1, 2, 3].map(Uuid::from_u128);
    let sql = format!(
        "UPDATE commands SET status = 'in_progress' WHERE command_id = '{first}';
         UPDATE commands SET status = 'completed' WHERE command_id = '{completed}'"
    );
    fleet.client.batch_execute(&sql).await.unwrap();
    fleet.down_before("commands").await;
    migrations::up(fleet.url()).await.unwrap();
    // The command in progress may have been sent.
    let queued = "SELECT concat_ws(' ', command_id, send_count) FROM command_queue
                  JOIN commands USING (command_id, vehicle_id, user_id, expires_at)
                  ORDER BY position";
    assert_eq!(
        system_catalog::lines(&fleet.client, queued).await,
        [format!("{first} 1"), format!("{last} 0")]
    );
}

#[tokio::test]
async fn reverting_the_commands_deletes_their_queue_keys_and_outcomes_only() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let (unknown, waiting) = (
        fleet.submit(1, vehicle).await,
        fleet.submit(2, vehicle).await,
    );
    let key = (fleet.engineer, "key");
    let mut connection = fleet.connection().await;
    assert_eq!(remember_since(&mut connection, key, 2, 1, 0).await, None);
    let kind = FailureKind::OutcomeUnknown;
    commands::fail(&mut connection, unknown, kind, "no answer", at(1))
        .await
        .unwrap();
    commands::add_finding(&mut connection, unknown, Finding::Cleared)
        .await
        .unwrap();
    queue::turn_into_probe(&mut connection, unknown, at(1), at(9))
        .await
        .unwrap();
    let published = "SELECT (to_jsonb(commands) - ARRAY['failure_kind', 'started_at', 'expires_at',
                                                        'finding'])::text
                     FROM commands ORDER BY command_id";
    let before = system_catalog::lines(&fleet.client, published).await;
    assert_eq!(before.len(), 2);

    fleet.down_before("commands").await;
    let reverted = system_catalog::lines(&fleet.client, published).await;
    assert_eq!(reverted, before);
    migrations::up(fleet.url()).await.unwrap();
    let restored = system_catalog::lines(&fleet.client, published).await;
    assert_eq!(restored, before);

    // The probe is gone, and the kind of the failure is lost.
    let queued = "SELECT concat_ws(' ', command_id, task) FROM command_queue";
    let queued = system_catalog::lines(&fleet.client, queued).await;
    assert_eq!(queued, [format!("{waiting} command")]);
    let failed = fleet.stored(unknown).await;
    assert_eq!(failed.failure_kind, Some(FailureKind::Internal));
    assert_eq!(failed.finding, None);
    assert_eq!(fleet.count("idempotency_keys").await, 0);
}

#[tokio::test]
async fn keys_and_findings_work_after_down_and_up() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command_id = fleet.submit(1, vehicle).await;
    fleet.down_before("commands").await;
    migrations::up(fleet.url()).await.unwrap();

    let key = (fleet.engineer, "key");
    let mut connection = fleet.connection().await;
    assert_eq!(remember_since(&mut connection, key, 1, 1, 0).await, None);
    let again = remember_since(&mut connection, key, 1, 2, 0).await;
    assert_eq!(again, Some(known(1)));
    let kind = FailureKind::OutcomeUnknown;
    commands::fail(&mut connection, command_id, kind, "no answer", at(1))
        .await
        .unwrap();
    let found = commands::add_finding(&mut connection, command_id, Finding::Cleared).await;
    assert_eq!(found.unwrap().unwrap().finding, Some(Finding::Cleared));
}
