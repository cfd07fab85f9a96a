use sovd_storage::{StorageError, commands::responses, identity::sessions};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::{
    commands::responses::chunk,
    fixture::{Fleet, at},
    identity::sessions::session,
};

/// Returns the SQLSTATE and the constraint with which PostgreSQL rejects `sql`.
pub(crate) async fn refusal(fleet: &Fleet, sql: &str) -> (SqlState, String) {
    let error = fleet.client.batch_execute(sql).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    let constraint = error.constraint().unwrap().to_owned();
    (error.code().clone(), constraint)
}

async fn duplicate(fleet: &Fleet, sql: &str) -> String {
    let (code, constraint) = refusal(fleet, sql).await;
    assert_eq!(code, SqlState::UNIQUE_VIOLATION);
    constraint
}

pub(crate) async fn check(fleet: &Fleet, sql: &str) -> String {
    let (code, constraint) = refusal(fleet, sql).await;
    assert_eq!(code, SqlState::CHECK_VIOLATION);
    constraint
}

#[tokio::test]
async fn usernames_and_emails_are_unique() {
    let fleet = Fleet::new().await;
    let same_name = "INSERT INTO users (username, email, password_hash, role)
                     VALUES ('engineer', 'other@example.com', '', 'admin')";
    assert_eq!(duplicate(&fleet, same_name).await, "unq_users_username");
    let same_email = "INSERT INTO users (username, email, password_hash, role)
                      VALUES ('other', 'engineer@example.com', '', 'admin')";
    assert_eq!(duplicate(&fleet, same_email).await, "unq_users_email");
}

#[tokio::test]
async fn vins_are_unique() {
    let fleet = Fleet::new().await;
    fleet.vehicle("VIN1").await;
    let same = "INSERT INTO vehicles (vin, make, model, year, connection_status)
                VALUES ('VIN1', 'Tesla', 'Model 3', 2023, 'error')";
    assert_eq!(duplicate(&fleet, same).await, "unq_vehicles_vin");
}

#[tokio::test]
async fn refresh_tokens_are_unique() {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    let [first, second] = [1, 2].map(|number| session(number, fleet.engineer));
    sessions::insert(&mut connection, &first, "hash")
        .await
        .unwrap();
    let again = sessions::insert(&mut connection, &second, "hash").await;
    let error = again.unwrap_err();
    assert!(
        matches!(&error, StorageError::Duplicate { constraint } if constraint == "unq_sessions_refresh_token"),
        "{error:?}"
    );
}

#[tokio::test]
async fn chunk_numbers_are_unique_per_command() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    let other = fleet.submit(2, vehicle).await;
    let mut connection = fleet.connection().await;
    let mut again = chunk(command, 1);
    responses::insert(&mut connection, &again).await.unwrap();
    again.response_id.0 = Uuid::from_u128(99);
    let error = responses::insert(&mut connection, &again)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StorageError::Duplicate { constraint }
            if constraint == "unq_responses_command_id_sequence_number"),
        "{error:?}"
    );
    again.command_id = other;
    responses::insert(&mut connection, &again).await.unwrap();
}

#[tokio::test]
async fn enumerations_accept_exactly_the_known_values() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    fleet.submit(1, vehicle).await;
    for (table, column, known) in [
        ("users", "role", &["engineer", "admin"][..]),
        (
            "vehicles",
            "connection_status",
            &["connected", "disconnected", "error"],
        ),
        (
            "commands",
            "status",
            &["pending", "in_progress", "completed"],
        ),
        ("command_queue", "task", &["command", "probe"]),
    ] {
        for word in known {
            let sql = format!("UPDATE {table} SET {column} = '{word}'");
            fleet.client.batch_execute(&sql).await.unwrap();
        }
        for word in ["unknown", "", "ADMIN", "Pending"] {
            let sql = format!("UPDATE {table} SET {column} = '{word}'");
            assert_eq!(check(&fleet, &sql).await, format!("chk_{table}_{column}"));
        }
    }
}

#[tokio::test]
async fn only_failed_commands_have_a_failure_kind() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    fleet.submit(1, vehicle).await;
    let both = "chk_commands_failure_kind_when_failed";
    for sql in [
        "UPDATE commands SET status = 'failed'",
        "UPDATE commands SET failure_kind = 'timeout'",
        "UPDATE commands SET status = 'completed', failure_kind = 'timeout'",
    ] {
        assert_eq!(check(&fleet, sql).await, both, "{sql}");
    }
    let unknown = "UPDATE commands SET status = 'failed', failure_kind = 'bad luck'";
    assert_eq!(check(&fleet, unknown).await, "chk_commands_failure_kind");
    for kind in sovd_domain::FailureKind::ALL {
        let sql = format!("UPDATE commands SET status = 'failed', failure_kind = '{kind}'");
        fleet.client.batch_execute(&sql).await.unwrap();
    }
}

#[tokio::test]
async fn the_send_count_is_not_negative() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    fleet.submit(1, vehicle).await;
    let sql = "UPDATE command_queue SET send_count = -1";
    assert_eq!(check(&fleet, sql).await, "chk_command_queue_send_count");
}

#[tokio::test]
async fn rejects_a_command_for_an_unknown_vehicle() {
    let fleet = Fleet::new().await;
    let unknown = sovd_domain::VehicleId(Uuid::from_u128(7));
    let command = crate::fixture::command(1, fleet.engineer, unknown, at(0));
    let mut connection = fleet.connection().await;
    let error = sovd_storage::commands::insert(&mut connection, &command)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StorageError::Dangling { constraint } if constraint == "commands_vehicle_id_fkey"),
        "{error:?}"
    );
}
