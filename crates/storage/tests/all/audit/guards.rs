//! The audit trail is append-only for ordinary SQL.

use sovd_domain::{
    AuditEntry,
    audit::{ChainHash, Link},
};
use sovd_storage::{
    audit::{self, chain, pruning},
    migrations,
};
use tokio_postgres::{Client, error::SqlState};

use crate::{
    fixture::{Fleet, at},
    system_catalog,
};

/// A link with an arbitrary hash.
pub(crate) fn link(position: i64) -> Link {
    Link {
        position,
        hash: ChainHash([7; 32]),
    }
}

/// Writes `count` entries about a user, a vehicle and a command, one second apart.
pub(crate) async fn write(fleet: &Fleet, count: i64) {
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    let entry = AuditEntry {
        entity_id: Some(command.0),
        user_id: Some(fleet.engineer),
        vehicle_id: Some(vehicle),
        command_id: Some(command),
        details: serde_json::json!({ "number": 1 }),
        ..AuditEntry::new("command.submit", "command")
    };
    for second in 0..count {
        audit::insert(&mut *fleet.connection().await, &entry, at(second))
            .await
            .unwrap();
    }
}

/// Seals at most `limit` of the oldest unsealed entries.
pub(crate) async fn seal(fleet: &Fleet, limit: i64) {
    let mut transaction = fleet.pool.begin().await.unwrap();
    let head = chain::claim_head(&mut transaction).await.unwrap().unwrap();
    let entries = chain::lock_unsealed(&mut transaction, limit).await.unwrap();
    let log_ids = entries.iter().map(|entry| entry.log_id);
    let sealed: Vec<_> = log_ids.zip((head.position + 1..).map(link)).collect();
    chain::seal(&mut transaction, &sealed).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Returns the message of the trigger that refuses the statements.
async fn refusal(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.err();
    let Some(error) = error.as_ref().and_then(|error| error.as_db_error()) else {
        panic!("{sql} is not refused")
    };
    assert_eq!(
        error.code(),
        &SqlState::RESTRICT_VIOLATION,
        "{sql}: {error}"
    );
    error.message().to_owned()
}

async fn assert_refused(client: &Client, sql: &str) {
    let message = refusal(client, sql).await;
    assert!(message.contains("is refused"), "{sql}: {message}");
}

#[tokio::test]
async fn no_column_of_an_entry_can_be_changed() {
    let fleet = Fleet::new().await;
    write(&fleet, 2).await;
    seal(&fleet, 1).await;
    let other = fleet.user("other").await;
    let vehicle = fleet.vehicle("VIN2").await;
    let command = fleet.submit(2, vehicle).await;
    let columns = "SELECT column_name::text FROM information_schema.columns
                   WHERE table_name = 'audit_logs' ORDER BY ordinal_position";
    for column in system_catalog::lines(&fleet.client, columns).await {
        let change = match column.as_str() {
            "user_id" => format!("user_id = '{other}'"),
            "vehicle_id" => format!("vehicle_id = '{vehicle}'"),
            "command_id" => format!("command_id = '{command}'"),
            "log_id" => "log_id = gen_random_uuid()".to_owned(),
            "details" => r#"details = '{"number": 1.0}'"#.to_owned(),
            "timestamp" => "timestamp = timestamp + interval '1 microsecond'".to_owned(),
            "result" => "result = 'failed'".to_owned(),
            "action" | "entity_type" | "ip_address" | "user_agent" | "request_id" => {
                format!("{column} = 'x'")
            }
            "actor_id" | "subject_vehicle_id" | "subject_command_id" | "entity_id" => {
                format!("{column} = NULL")
            }
            "position" | "hash" => "position = NULL, hash = NULL".to_owned(),
            other => panic!("unknown column {other}: add a change for it"),
        };
        for sealed in ["position = 1", "position IS NULL"] {
            if change.starts_with("position") && sealed == "position IS NULL" {
                continue;
            }
            let sql = format!("UPDATE audit_logs SET {change} WHERE {sealed}");
            assert_refused(&fleet.client, &sql).await;
        }
    }
    for change in ["position = 2", "hash = decode(repeat('00', 32), 'hex')"] {
        let sql = format!("UPDATE audit_logs SET {change} WHERE position = 1");
        assert_refused(&fleet.client, &sql).await;
    }
}

#[tokio::test]
async fn a_deleted_reference_becomes_null_and_its_copy_stays() {
    for deletion in ["DELETE FROM users", "DELETE FROM vehicles"] {
        let fleet = Fleet::new().await;
        write(&fleet, 2).await;
        seal(&fleet, 1).await;
        let mut connection = fleet.connection().await;
        let before = chain::sealed_after(&mut connection, None, 9).await.unwrap();
        fleet.client.batch_execute(deletion).await.unwrap();
        let after = chain::sealed_after(&mut connection, None, 9).await.unwrap();
        assert_eq!(after, before);
        let deleted = "SELECT count(*) FROM audit_logs
                    WHERE num_nulls(user_id, vehicle_id, command_id) = 2
                      AND num_nulls(actor_id, subject_vehicle_id, subject_command_id) = 0";
        let row = fleet.client.query_one(deleted, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 2, "{deletion}");
    }
}

#[tokio::test]
async fn only_pruning_deletes_entries() {
    let fleet = Fleet::new().await;
    write(&fleet, 4).await;
    seal(&fleet, 3).await;
    let client = &fleet.client;
    for sql in [
        "DELETE FROM audit_logs WHERE position = 1",
        "DELETE FROM audit_logs WHERE position IS NULL",
        "TRUNCATE audit_logs",
        "TRUNCATE users CASCADE",
    ] {
        assert_refused(client, sql).await;
    }
    let mut transaction = fleet.pool.begin().await.unwrap();
    let deleted = pruning::prune(&mut transaction, link(2), at(9)).await;
    assert_eq!(deleted.unwrap(), 2);
    transaction.commit().await.unwrap();
    for sql in [
        "DELETE FROM audit_logs WHERE position = 3",
        "DELETE FROM audit_logs WHERE position IS NULL",
        "CREATE TEMPORARY TABLE audit_prunings AS SELECT 9::bigint AS position;
         DELETE FROM audit_logs WHERE position = 3",
    ] {
        assert_refused(client, sql).await;
    }
    assert_eq!(fleet.count("audit_logs").await, 2);
}

/// Otherwise an unsealed entry could be deleted without a trace.
#[tokio::test]
async fn an_entry_with_a_forged_position_cannot_be_deleted() {
    let fleet = Fleet::new().await;
    write(&fleet, 4).await;
    seal(&fleet, 3).await;
    let mut transaction = fleet.pool.begin().await.unwrap();
    let pruned = pruning::prune(&mut transaction, link(2), at(9)).await;
    assert_eq!(pruned.unwrap(), 2);
    transaction.commit().await.unwrap();
    let with_position = async |position: i64, statements: &str| {
        let sql = format!(
            "UPDATE audit_logs SET position = {position}, hash = decode(repeat('07', 32), 'hex')
             WHERE position IS NULL;
             {statements}
             DELETE FROM audit_logs WHERE position = {position}"
        );
        refusal(&fleet.client, &sql).await
    };
    let forged = [-1, 0, 1, 2, 4];
    for position in forged {
        let message = with_position(position, "").await;
        assert!(message.starts_with("UPDATE"), "{position}: {message}");
    }
    // The deletion is refused even if the position could be forged.
    let permit_forgery = "ALTER TABLE audit_logs DISABLE TRIGGER guard_audit_update,
                                                 DISABLE TRIGGER guard_audit_sealing";
    fleet.client.batch_execute(permit_forgery).await.unwrap();
    let pruning = "INSERT INTO audit_prunings (position, hash)
                   VALUES (3, decode(repeat('07', 32), 'hex'));";
    for position in forged {
        for statements in ["", pruning] {
            let message = with_position(position, statements).await;
            assert_eq!(
                message, "DELETE of audit_logs is refused: only pruning deletes entries",
                "{position}"
            );
        }
    }
    assert_eq!(fleet.count("audit_logs").await, 2);
}

#[tokio::test]
async fn a_pruning_stays() {
    let fleet = Fleet::new().await;
    let pruning = "INSERT INTO audit_prunings (position, hash)
                   VALUES (1, decode(repeat('07', 32), 'hex'))";
    fleet.client.batch_execute(pruning).await.unwrap();
    for sql in [
        "UPDATE audit_prunings SET position = 2",
        "DELETE FROM audit_prunings",
        "TRUNCATE audit_prunings",
    ] {
        assert_refused(&fleet.client, sql).await;
    }
}

#[tokio::test]
async fn an_entry_has_a_time_that_can_be_sealed() {
    let fleet = Fleet::new().await;
    let insert = |time: &str| {
        format!(
            "INSERT INTO audit_logs (action, entity_type, timestamp) VALUES ('a', 'b', '{time}')"
        )
    };
    for time in [
        "-infinity",
        "infinity",
        "0001-12-31 23:59:59.999999+00 BC",
        "10000-01-01 00:00:00+00",
    ] {
        let error = fleet.client.batch_execute(&insert(time)).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(
            error.constraint(),
            Some("chk_audit_logs_timestamp"),
            "{time}"
        );
    }
    for time in ["0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00"] {
        fleet.client.batch_execute(&insert(time)).await.unwrap();
    }
    seal(&fleet, 9).await;
    let mut connection = fleet.connection().await;
    assert_eq!(chain::count_unsealed(&mut connection).await.unwrap(), 0);
}

/// Rows keep their dropped columns, which the comparison of whole rows must ignore.
#[tokio::test]
async fn the_guards_work_after_down_and_up() {
    let fleet = Fleet::new().await;
    write(&fleet, 1).await;
    fleet.down_before("audit").await;
    migrations::up(fleet.url()).await.unwrap();
    let copied = "SELECT actor_id = user_id AND subject_vehicle_id = vehicle_id
                         AND subject_command_id = command_id FROM audit_logs";
    let row = fleet.client.query_one(copied, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
    seal(&fleet, 9).await;
    assert_refused(&fleet.client, "UPDATE audit_logs SET action = 'x'").await;
    fleet
        .client
        .batch_execute("DELETE FROM users")
        .await
        .unwrap();
}
