use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use sovd_domain::{UserId, VehicleId};
use uuid::Uuid;

use crate::{Connection, StorageError};

/// Returns the number of entries in the queue of a vehicle, counted up to `most`. It can only fall
/// until the transaction ends if the caller holds the lock of the vehicle
/// ([`crate::fleet::vehicles::lock`]).
///
/// # Errors
///
/// [`StorageError::Unavailable`] when the database does not answer.
pub async fn count_of_vehicle(
    connection: &mut Connection,
    vehicle_id: VehicleId,
    most: i64,
) -> Result<i64, StorageError> {
    let sql = "SELECT count(*) AS entries
               FROM (SELECT FROM command_queue WHERE vehicle_id = $1 LIMIT $2) counted";
    count(connection, sql, vehicle_id.0, most).await
}

/// Returns the number of entries in the queue that a user has submitted, counted up to `most`. It can
/// only fall until the transaction ends if every submission of the user counts under the lock of the
/// user ([`crate::identity::users::lock_submissions`]).
///
/// # Errors
///
/// [`StorageError::Unavailable`] when the database does not answer.
pub async fn count_of_user(
    connection: &mut Connection,
    user_id: UserId,
    most: i64,
) -> Result<i64, StorageError> {
    let sql = "SELECT count(*) AS entries
               FROM (SELECT FROM command_queue WHERE user_id = $1 LIMIT $2) counted";
    count(connection, sql, user_id.0, most).await
}

/// Runs `sql`, which counts the entries of one owner.
///
/// It does not go through the query builder, which would prepare it: a plan for any vehicle may read the
/// whole table when most entries are of one vehicle.
async fn count(
    connection: &mut Connection,
    sql: &str,
    owner: Uuid,
    most: i64,
) -> Result<i64, StorageError> {
    let counted: Counted = sql_query(sql)
        .bind::<SqlUuid, _>(owner)
        .bind::<BigInt, _>(most)
        .get_result(connection)
        .await?;
    Ok(counted.entries)
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    entries: i64,
}
