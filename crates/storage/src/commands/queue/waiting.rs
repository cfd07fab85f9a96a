use diesel::{
    sql_query,
    sql_types::{BigInt, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use sovd_domain::{UserId, VehicleId};
use uuid::Uuid;

use crate::{Connection, Result, rows::Counted};

/// Returns the number of entries in the queue of a vehicle, counted up to `most`. The number cannot
/// grow until the transaction ends if the caller has locked the vehicle
/// ([`crate::fleet::vehicles::lock`]).
pub async fn count_of_vehicle(
    connection: &mut Connection,
    vehicle_id: VehicleId,
    most: i64,
) -> Result<i64> {
    let sql = "SELECT count(*)
               FROM (SELECT FROM command_queue WHERE vehicle_id = $1 LIMIT $2) counted";
    count(connection, sql, vehicle_id.0, most).await
}

/// Returns the number of queue entries that a user has submitted, counted up to `most`. The number
/// cannot grow until the transaction ends if the caller has locked the submissions of the user
/// ([`crate::identity::users::lock_exclusively`]).
pub async fn count_of_user(connection: &mut Connection, user_id: UserId, most: i64) -> Result<i64> {
    let sql = "SELECT count(*)
               FROM (SELECT FROM command_queue WHERE user_id = $1 LIMIT $2) counted";
    count(connection, sql, user_id.0, most).await
}

/// Runs `sql`, which counts the entries of `owner`.
///
/// The query builder would prepare the statement, and a generic plan may scan the whole table when most
/// entries belong to one vehicle.
async fn count(connection: &mut Connection, sql: &str, owner: Uuid, most: i64) -> Result<i64> {
    let counted: Counted = sql_query(sql)
        .bind::<SqlUuid, _>(owner)
        .bind::<BigInt, _>(most)
        .get_result(connection)
        .await?;
    Ok(counted.count)
}
