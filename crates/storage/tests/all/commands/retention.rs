//! Deletion of commands after their retention.

use std::time::Duration;

use sovd_devstack::within;
use sovd_domain::{CommandId, VehicleId};
use sovd_storage::{
    StorageError,
    commands::retention::{self, DeletedCommands},
};

use crate::fixture::{Fleet, at};

/// A fleet with one vehicle.
struct Setup {
    fleet: Fleet,
    vehicle: VehicleId,
}

impl Setup {
    async fn new() -> Self {
        let fleet = Fleet::new().await;
        let vehicle = fleet.vehicle("VIN1").await;
        Self { fleet, vehicle }
    }

    /// Adds a command that was submitted at one time and completed at another.
    async fn completed(&self, submitted_at: i64, completed_at: i64) -> CommandId {
        let sql = "INSERT INTO commands (user_id, vehicle_id, command_name, command_params, status,
                                         submitted_at, completed_at)
                   VALUES ($1, $2, 'ReadDTC', '{}', 'completed', $3, $4) RETURNING command_id";
        let (user, vehicle) = (self.fleet.engineer.0, self.vehicle.0);
        let times = (at(submitted_at), at(completed_at));
        let row = self
            .fleet
            .client
            .query_one(sql, &[&user, &vehicle, &times.0, &times.1])
            .await;
        CommandId(row.unwrap().get(0))
    }

    /// Executes a statement with the id of a command as `$1`.
    async fn execute(&self, sql: &str, command_id: CommandId) {
        let changed = self.fleet.client.execute(sql, &[&command_id.0]).await;
        assert_eq!(changed.unwrap(), 1);
    }

    async fn delete(
        &self,
        cutoff: i64,
        after: Option<i64>,
        limit: i64,
    ) -> Result<Option<DeletedCommands>, StorageError> {
        let delete = self.fleet.pool.transaction(async |transaction| {
            retention::delete_ended(transaction, at(cutoff), after.map(at), limit).await
        });
        within("the deletion", delete).await
    }

    /// Returns the ids of the remaining commands, in the order of their submission.
    async fn remaining(&self) -> Vec<CommandId> {
        let sql = "SELECT command_id FROM commands ORDER BY submitted_at";
        let rows = self.fleet.client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| CommandId(row.get(0))).collect()
    }
}

fn deleted(count: i64, first: i64, last: i64) -> DeletedCommands {
    DeletedCommands {
        count,
        first_submitted_at: at(first),
        last_submitted_at: at(last),
    }
}

#[tokio::test]
async fn keeps_a_command_that_ended_exactly_at_the_cutoff() {
    let setup = Setup::new().await;
    setup.completed(0, 19).await;
    let kept = [setup.completed(1, 20).await, setup.completed(2, 21).await];
    assert_eq!(
        setup.delete(20, None, 10).await.unwrap(),
        Some(deleted(1, 0, 0))
    );
    assert_eq!(setup.remaining().await, kept);
    assert_eq!(setup.delete(20, None, 10).await.unwrap(), None);
}

#[tokio::test]
async fn deletes_in_batches_in_the_order_of_submission() {
    let setup = Setup::new().await;
    for submitted_at in [2, 0, 3, 1] {
        setup.completed(submitted_at, 10 - submitted_at).await;
    }
    assert_eq!(
        setup.delete(20, None, 3).await.unwrap(),
        Some(deleted(3, 0, 2))
    );
    assert_eq!(setup.delete(20, Some(4), 3).await.unwrap(), None);
    let last = setup.delete(20, Some(2), 3).await;
    assert_eq!(last.unwrap(), Some(deleted(1, 3, 3)));
}

#[tokio::test]
async fn keeps_unfinished_commands() {
    let setup = Setup::new().await;
    let pending = setup.fleet.submit(1, setup.vehicle).await;
    let running = setup.fleet.submit(2, setup.vehicle).await;
    let start = "UPDATE commands SET status = 'in_progress', started_at = submitted_at WHERE command_id = $1";
    setup.execute(start, running).await;
    let probed = setup.completed(1, 2).await;
    let probe = "INSERT INTO command_queue (command_id, vehicle_id, task, due_at)
                 SELECT command_id, vehicle_id, 'probe', completed_at FROM commands WHERE command_id = $1";
    setup.execute(probe, probed).await;
    let undetected = setup.completed(3, 4).await;
    let job = "INSERT INTO detection_jobs (command_id, first_sequence_number, due_at)
               VALUES ($1, 1, now())";
    setup.execute(job, undetected).await;

    assert_eq!(setup.delete(100, None, 10).await.unwrap(), None);
    let mut remaining = setup.remaining().await;
    remaining.sort();
    let mut expected = vec![pending, running, probed, undetected];
    expected.sort();
    assert_eq!(remaining, expected);
}

#[tokio::test]
async fn skips_a_locked_command() {
    let setup = Setup::new().await;
    let locked = setup.completed(0, 1).await;
    setup.completed(2, 3).await;
    let mut other = setup.fleet.another_client().await;
    let transaction = other.transaction().await.unwrap();
    // The lock of an insert that refers to the command.
    let lock = "SELECT FROM commands WHERE command_id = $1 FOR KEY SHARE";
    transaction.execute(lock, &[&locked.0]).await.unwrap();
    assert_eq!(
        setup.delete(20, None, 10).await.unwrap(),
        Some(deleted(1, 2, 2))
    );
    transaction.rollback().await.unwrap();
    assert_eq!(
        setup.delete(20, None, 10).await.unwrap(),
        Some(deleted(1, 0, 0))
    );
}

#[tokio::test]
async fn concurrent_deletions_take_different_commands() {
    let setup = Setup::new().await;
    setup.completed(0, 1).await;
    setup.completed(2, 3).await;
    let mut first = setup.fleet.pool.begin().await.unwrap();
    let found = retention::delete_ended(&mut first, at(20), None, 1).await;
    assert_eq!(found.unwrap(), Some(deleted(1, 0, 0)));
    assert_eq!(
        setup.delete(20, None, 10).await.unwrap(),
        Some(deleted(1, 2, 2))
    );
    first.commit().await.unwrap();
    assert_eq!(setup.remaining().await, []);
}

#[tokio::test]
async fn a_locked_reference_fails_the_deletion_and_not_the_holder() {
    let setup = Setup::new().await;
    let command = setup.completed(0, 1).await;
    let audit = "INSERT INTO audit_logs (command_id, action, entity_type)
                 VALUES ($1, 'command.submit', 'command')";
    setup.execute(audit, command).await;
    let mut other = setup.fleet.another_client().await;
    let transaction = other.transaction().await.unwrap();
    let lock = "SELECT FROM audit_logs FOR UPDATE";
    transaction.execute(lock, &[]).await.unwrap();

    let deletion = tokio::time::timeout(Duration::from_secs(5), setup.delete(20, None, 10));
    let error = deletion.await.unwrap().unwrap_err();
    assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    assert_eq!(setup.remaining().await, [command]);
    transaction.commit().await.unwrap();
    assert_eq!(
        setup.delete(20, None, 10).await.unwrap(),
        Some(deleted(1, 0, 0))
    );
}

#[tokio::test]
async fn deletes_responses_and_keeps_audit_entries_and_anomalies() {
    let setup = Setup::new().await;
    let command = setup.completed(0, 1).await;
    for sql in [
        "INSERT INTO responses (command_id, response_payload, sequence_number)
         VALUES ($1, '{}', 1)",
        "INSERT INTO audit_logs (command_id, action, entity_type)
         VALUES ($1, 'command.submit', 'command')",
        "INSERT INTO idempotency_keys (user_id, key, fingerprint, command_id, created_at)
         SELECT user_id, 'key', '', command_id, submitted_at FROM commands WHERE command_id = $1",
        "WITH anomaly AS (
             INSERT INTO anomaly_events (vehicle_id, anomaly_type, severity)
             SELECT vehicle_id, 'misfire', 'High' FROM commands WHERE command_id = $1
             RETURNING id, vehicle_id),
         diagnosis AS (
             INSERT INTO diagnoses (anomaly_event_id, diagnosis_text, confidence_score)
             SELECT id, 'ignition coil', 0.5 FROM anomaly)
         INSERT INTO anomaly_episodes (anomaly_event_id, vehicle_id, dtc_code, command_id, response_id)
         SELECT id, vehicle_id, 'P0301', $1, (SELECT response_id FROM responses) FROM anomaly",
    ] {
        setup.execute(sql, command).await;
    }

    assert_eq!(
        setup.delete(20, None, 10).await.unwrap(),
        Some(deleted(1, 0, 0))
    );
    let fleet = &setup.fleet;
    for (table, count) in [
        ("commands", 0),
        ("responses", 0),
        ("idempotency_keys", 0),
        ("audit_logs WHERE command_id IS NULL", 1),
        (
            "anomaly_episodes WHERE command_id IS NULL AND response_id IS NULL",
            1,
        ),
        ("anomaly_events", 1),
        ("diagnoses", 1),
    ] {
        assert_eq!(fleet.count(table).await, count, "{table}");
    }
    let kept = "SELECT subject_command_id FROM audit_logs";
    let row = fleet.client.query_one(kept, &[]).await.unwrap();
    assert_eq!(CommandId(row.get(0)), command);
}
