//! What the database lets nobody do to the audit trail.

use sovd_domain::{
    AuditEntry,
    audit::{ChainHash, Link},
};
use sovd_storage::{
    audit::{self, chain, cut},
    migrations,
};
use tokio_postgres::{Client, error::SqlState};

use crate::{
    fixture::{Fleet, at},
    system_catalog,
};

/// Any hash will do here.
pub(crate) fn link(position: i64) -> Link {
    Link {
        position,
        hash: ChainHash([7; 32]),
    }
}

/// Writes so many lines about a user, a vehicle and a command, a second apart.
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

/// Seals the oldest lines, so many at most, from the place after the end of the chain on.
pub(crate) async fn seal(fleet: &Fleet, limit: i64) {
    let mut transaction = fleet.pool.begin().await.unwrap();
    let head = chain::claim_head(&mut transaction).await.unwrap().unwrap();
    let lines = chain::lock_unsealed(&mut transaction, limit).await.unwrap();
    let log_ids = lines.iter().map(|line| line.log_id);
    let sealed: Vec<_> = log_ids.zip((head.position + 1..).map(link)).collect();
    chain::seal(&mut transaction, &sealed).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn assert_refused(client: &Client, sql: &str) {
    let error = client.batch_execute(sql).await.err();
    let Some(error) = error.as_ref().and_then(|error| error.as_db_error()) else {
        panic!("{sql} is not refused")
    };
    assert_eq!(
        error.code(),
        &SqlState::RESTRICT_VIOLATION,
        "{sql}: {error}"
    );
    assert!(error.message().contains("is refused"), "{sql}: {error}");
}

#[tokio::test]
async fn no_column_of_a_line_can_be_changed() {
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
            other => panic!("{other} is new: say here how it would be changed"),
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
async fn a_reference_may_go_and_its_copy_stays() {
    for deletion in ["DELETE FROM users", "DELETE FROM vehicles"] {
        let fleet = Fleet::new().await;
        write(&fleet, 2).await;
        seal(&fleet, 1).await;
        let mut connection = fleet.connection().await;
        let before = chain::sealed_after(&mut connection, None, 9).await.unwrap();
        fleet.client.batch_execute(deletion).await.unwrap();
        let after = chain::sealed_after(&mut connection, None, 9).await.unwrap();
        assert_eq!(after, before);
        let gone = "SELECT count(*) FROM audit_logs
                    WHERE num_nulls(user_id, vehicle_id, command_id) = 2
                      AND num_nulls(actor_id, subject_vehicle_id, subject_command_id) = 0";
        let row = fleet.client.query_one(gone, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 2, "{deletion}");
    }
}

#[tokio::test]
async fn no_line_can_be_deleted_that_was_not_cut_off() {
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
    let deleted = cut::after(&mut transaction, link(2), at(9)).await;
    assert_eq!(deleted.unwrap(), 2);
    transaction.commit().await.unwrap();
    for sql in [
        "DELETE FROM audit_logs WHERE position = 3",
        "DELETE FROM audit_logs WHERE position IS NULL",
        "CREATE TEMPORARY TABLE audit_cuts AS SELECT 9::bigint AS position;
         DELETE FROM audit_logs WHERE position = 3",
    ] {
        assert_refused(client, sql).await;
    }
    assert_eq!(fleet.count("audit_logs").await, 2);
}

#[tokio::test]
async fn a_line_begins_outside_the_chain() {
    let fleet = Fleet::new().await;
    assert_refused(
        &fleet.client,
        "INSERT INTO audit_logs (action, entity_type, position, hash)
         VALUES ('a', 'b', 1, decode(repeat('00', 32), 'hex'))",
    )
    .await;
}

#[tokio::test]
async fn the_head_only_goes_forward_and_cuts_stay() {
    let fleet = Fleet::new().await;
    write(&fleet, 2).await;
    seal(&fleet, 2).await;
    let cut = "INSERT INTO audit_cuts (position, hash) VALUES";
    let sevens = "decode(repeat('07', 32), 'hex')";
    for sql in [
        "UPDATE audit_head SET position = 1",
        "UPDATE audit_head SET position = 2",
        "UPDATE audit_head SET position = 3",
        "DELETE FROM audit_head",
        "TRUNCATE audit_head",
        &format!("{cut} (3, {sevens})"),
        &format!("{cut} (1, decode(repeat('00', 32), 'hex'))"),
    ] {
        assert_refused(&fleet.client, sql).await;
    }
    fleet
        .client
        .batch_execute(&format!("{cut} (1, {sevens})"))
        .await
        .unwrap();
    for sql in [
        "UPDATE audit_cuts SET position = 2",
        "DELETE FROM audit_cuts",
        "TRUNCATE audit_cuts",
    ] {
        assert_refused(&fleet.client, sql).await;
    }
}

/// Each of these would be in the way of all who seal later.
#[tokio::test]
async fn no_line_gets_a_place_that_the_chain_has_not_reached() {
    let fleet = Fleet::new().await;
    write(&fleet, 3).await;
    seal(&fleet, 1).await;
    let hash = |digits: &str| format!("hash = decode(repeat('{digits}', 32), 'hex')");
    let (sevens, eights) = (hash("07"), hash("08"));
    let line = "log_id = (SELECT log_id FROM audit_logs WHERE position IS NULL LIMIT 1)";
    let place = |position: i64| {
        format!("UPDATE audit_logs SET position = {position}, {sevens} WHERE {line}")
    };
    for sql in [
        place(2),
        place(0),
        place(i64::MAX),
        format!("UPDATE audit_head SET position = 2, {sevens}; {}", place(3)),
        format!("UPDATE audit_head SET position = 2, {eights}; {}", place(2)),
        format!("UPDATE audit_head SET position = 3, {sevens}; {}", place(3)),
        format!("UPDATE audit_head SET position = 3, {sevens}; {}", place(2)),
    ] {
        assert_refused(&fleet.client, &sql).await;
    }
    let sealing = format!("UPDATE audit_head SET position = 2, {sevens}; {}", place(2));
    fleet.client.batch_execute(&sealing).await.unwrap();
    seal(&fleet, 9).await;
    let mut connection = fleet.connection().await;
    assert_eq!(chain::head(&mut connection).await.unwrap(), Some(link(3)));
}

#[tokio::test]
async fn a_line_has_a_time_that_can_be_sealed() {
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

/// Columns that were dropped once stay in the rows, where the guard must not stumble over them.
#[tokio::test]
async fn the_guards_work_after_the_chain_was_taken_down_and_put_up_again() {
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
