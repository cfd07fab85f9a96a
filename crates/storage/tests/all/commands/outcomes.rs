use serde_json::Value;
use sovd_domain::{CommandId, FailureKind, Finding};
use sovd_storage::{
    commands::{
        self,
        queue::{self, Entry, Task},
    },
    migrations,
};

use crate::{
    commands::{
        idempotency::{known, remember_since},
        queue::{claim, ids},
    },
    fixture::{EXPIRY, Fleet, at},
    system_catalog,
};

/// Goes back to the schema before the migration.
async fn down(fleet: &Fleet) {
    fleet.down_before("_honest_outcomes").await;
}

async fn up(fleet: &Fleet) {
    migrations::up(fleet.url()).await.unwrap();
}

/// What the queue knows in the old schema.
async fn places(fleet: &Fleet) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', command_id, vehicle_id, position, due_at, lease_id,
                                lease_until, attempt)
               FROM command_queue ORDER BY position";
    system_catalog::lines(&fleet.client, sql).await
}

/// A pending command, one in progress, and a probe, each of a vehicle of its own, in the new schema.
async fn one_of_each() -> (Fleet, [CommandId; 3]) {
    let fleet = Fleet::new().await;
    let mut submitted = Vec::new();
    for number in 1..=3 {
        let vehicle = fleet.vehicle(&format!("VIN{number}")).await;
        submitted.push(fleet.submit(number, vehicle).await);
    }
    let [pending, in_progress, dark] = submitted[..] else {
        panic!("{submitted:?}")
    };
    let mut connection = fleet.connection().await;
    commands::start(&mut connection, in_progress, at(1))
        .await
        .unwrap();
    queue::postpone(&mut connection, in_progress, at(2), 2, "no answer")
        .await
        .unwrap();
    queue::mark_answered(&mut connection, in_progress)
        .await
        .unwrap();
    let kind = FailureKind::OutcomeUnknown;
    commands::fail(&mut connection, dark, kind, "no answer", at(3))
        .await
        .unwrap();
    queue::turn_into_probe(&mut connection, dark, at(3), at(600))
        .await
        .unwrap();
    drop(connection);
    (fleet, [pending, in_progress, dark])
}

#[tokio::test]
async fn on_the_way_down_commands_keep_their_places_and_probes_go() {
    let (fleet, [_, _, dark]) = one_of_each().await;
    let mut places_before = places(&fleet).await;
    let probe = places_before.pop().unwrap();
    assert!(probe.starts_with(&dark.to_string()));
    commands::add_finding(&mut *fleet.connection().await, dark, Finding::Cleared)
        .await
        .unwrap()
        .unwrap();
    let sql = "SELECT (to_jsonb(commands) - 'finding')::text FROM commands ORDER BY command_id";
    let commands = system_catalog::lines(&fleet.client, sql).await;
    down(&fleet).await;
    assert_eq!(places(&fleet).await, places_before);
    assert_eq!(system_catalog::lines(&fleet.client, sql).await, commands);
    up(&fleet).await;
    assert_eq!(places(&fleet).await, places_before);
    let found = fleet.stored(dark).await;
    assert_eq!(found.failure_kind, Some(FailureKind::OutcomeUnknown));
    assert_eq!(found.finding, None);
}

#[tokio::test]
async fn on_the_way_up_only_what_is_in_progress_may_have_been_sent() {
    let (fleet, [pending, in_progress, _]) = one_of_each().await;
    down(&fleet).await;
    // Submitted to the old program, which knows the expiry of commands only.
    let sql = "UPDATE commands SET expires_at = $2 WHERE command_id = $1";
    let changed = fleet.client.execute(sql, &[&pending.0, &at(77)]).await;
    assert_eq!(changed.unwrap(), 1);
    up(&fleet).await;

    for (command, expiry, sends) in [(pending, 77, 0), (in_progress, EXPIRY, 1)] {
        let mut connection = fleet.connection().await;
        let entry = queue::lock(&mut connection, command).await;
        let entry = entry.unwrap().unwrap();
        assert_eq!(entry.task, Task::Command);
        assert_eq!(entry.sends, sends);
        assert_eq!(entry.expires_at, at(expiry));
        assert!(!entry.is_answered && !entry.skip_evidence);
        let row = fleet.queued(command).await;
        assert_eq!(row["last_error"], Value::Null);
    }
    let away = "UPDATE vehicles SET connection_status = 'disconnected'";
    fleet.client.batch_execute(away).await.unwrap();
    assert_eq!(ids(&claim(&fleet, EXPIRY, 10).await), [in_progress]);
}

#[tokio::test]
async fn keys_and_findings_work_after_down_and_up() {
    let (fleet, [pending, _, dark]) = one_of_each().await;
    let own = (fleet.engineer, "key");
    let mut connection = fleet.connection().await;
    assert_eq!(remember_since(&mut connection, own, 1, 1, 0).await, None);
    drop(connection);
    down(&fleet).await;
    up(&fleet).await;
    assert_eq!(fleet.count("idempotency_keys").await, 0);
    let mut connection = fleet.connection().await;
    assert_eq!(remember_since(&mut connection, own, 1, 1, 0).await, None);
    assert_eq!(
        remember_since(&mut connection, own, 2, 1, 0).await,
        Some(known(1))
    );
    let found = commands::add_finding(&mut connection, dark, Finding::NotCleared).await;
    assert_eq!(found.unwrap().unwrap().finding, Some(Finding::NotCleared));
    assert_eq!(fleet.stored(pending).await.finding, None);
}

/// A process of the old version may go on while the new one runs, and names the old columns only.
#[tokio::test]
async fn the_old_program_can_put_a_command_into_the_new_queue() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = crate::fixture::command(1, fleet.engineer, vehicle, at(0));
    fleet.store(&command).await;
    let sql = "INSERT INTO command_queue (command_id, vehicle_id, due_at) VALUES ($1, $2, now())
               RETURNING expires_at = now() + INTERVAL '1 hour'";
    let ids = (command.command_id.0, vehicle.0);
    let row = fleet.client.query_one(sql, &[&ids.0, &ids.1]).await;
    assert!(row.unwrap().get::<_, bool>(0));
    let entry = queue::lock(&mut *fleet.connection().await, command.command_id).await;
    let entry = entry.unwrap().unwrap();
    let expected = Entry {
        task: Task::Command,
        attempt: 0,
        sends: 0,
        is_answered: false,
        skip_evidence: false,
        lease: None,
        is_called_off: false,
        ..entry
    };
    assert_eq!(entry, expected);
}
