use std::collections::HashMap;

use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use sovd_domain::{UserId, VehicleId};
use uuid::Uuid;

use crate::{Connection, Result, prepared::prepared};

/// Returns the number of entries in the queue of a vehicle, counted up to `most`. The number cannot
/// grow until the transaction ends if the caller has locked the vehicle
/// ([`crate::fleet::vehicles::lock`]).
pub async fn count_of_vehicle(
    connection: &mut Connection,
    vehicle_id: VehicleId,
    most: i64,
) -> Result<i64> {
    let counts = count_of_vehicles(connection, &[vehicle_id], most).await?;
    Ok(counts.get(&vehicle_id).copied().unwrap_or_default())
}

/// Does the same for several vehicles. Vehicles without entries are omitted.
pub async fn count_of_vehicles(
    connection: &mut Connection,
    vehicle_ids: &[VehicleId],
    most: i64,
) -> Result<HashMap<VehicleId, i64>> {
    let ids: Vec<Uuid> = vehicle_ids.iter().map(|id| id.0).collect();
    let counts: Vec<Count> = prepared!(
        "SELECT owner.id AS owner, count(*) AS entries
         FROM unnest({}) AS owner (id)
         CROSS JOIN LATERAL (
             SELECT FROM command_queue
             WHERE vehicle_id = owner.id ORDER BY vehicle_id, position LIMIT {}) AS counted
         GROUP BY owner.id",
        Array<SqlUuid> = ids,
        BigInt = most,
    )
    .load(connection)
    .await?;
    Ok(counts
        .into_iter()
        .map(|row| (VehicleId(row.owner), row.entries))
        .collect())
}

/// Returns the number of queue entries that a user has submitted, counted up to `most`. The number
/// cannot grow until the transaction ends if the caller has locked the submissions of the user
/// ([`crate::identity::users::lock_exclusively`]).
pub async fn count_of_user(connection: &mut Connection, user_id: UserId, most: i64) -> Result<i64> {
    let counts = count_of_users(connection, &[user_id], most).await?;
    Ok(counts.get(&user_id).copied().unwrap_or_default())
}

/// Does the same for several users. Users without entries are omitted.
pub async fn count_of_users(
    connection: &mut Connection,
    user_ids: &[UserId],
    most: i64,
) -> Result<HashMap<UserId, i64>> {
    let ids: Vec<Uuid> = user_ids.iter().map(|id| id.0).collect();
    let counts: Vec<Count> = prepared!(
        "SELECT owner.id AS owner, count(*) AS entries
         FROM unnest({}) AS owner (id)
         CROSS JOIN LATERAL (
             SELECT FROM command_queue
             WHERE user_id = owner.id ORDER BY user_id LIMIT {}) AS counted
         GROUP BY owner.id",
        Array<SqlUuid> = ids,
        BigInt = most,
    )
    .load(connection)
    .await?;
    Ok(counts
        .into_iter()
        .map(|row| (UserId(row.owner), row.entries))
        .collect())
}

/// A number of entries. The statements that count them order by an index, so that even a plan made for
/// any parameters reads no other entries.
#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = SqlUuid)]
    owner: Uuid,
    #[diesel(sql_type = BigInt)]
    entries: i64,
}
