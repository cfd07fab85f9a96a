//! Vehicles.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{
    dsl::{AsSelect, exists},
    pg::Pg,
    prelude::*,
    select,
    sql_types::{Array, Bool, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use sovd_domain::{
    ConnectionStatus, Listing, Page, UserId, Vehicle, VehicleId, VehicleScope, VehicleType,
    paging::VehicleKey,
};
use uuid::Uuid;

use crate::{
    Connection, Result, StorageError,
    filters::filter_some,
    fleet::scope::within,
    like,
    prepared::prepared,
    rows::restore,
    schema::{command_queue, vehicles},
    statement::{Statement, capped_count},
};

/// The criteria of a client; `None` matches every vehicle.
#[derive(Debug, Clone, Default)]
pub struct VehicleFilter {
    /// The connection status.
    pub status: Option<ConnectionStatus>,
    /// A part of the VIN in any case.
    pub search: Option<String>,
    /// The exact make.
    pub make: Option<String>,
    /// The exact model.
    pub model: Option<String>,
    /// The model year.
    pub year: Option<i32>,
    /// The owner.
    pub owner_id: Option<UserId>,
}

/// Returns a page of the matching vehicles in `scope`, ordered by VIN.
///
/// A page of all vehicles, one status, make, model, year or owner is an index scan in list order. A search
/// reads the vehicles in list order until the page is full.
pub async fn list(
    connection: &mut Connection,
    filter: &VehicleFilter,
    scope: &VehicleScope,
    page: Page<VehicleKey>,
) -> Result<Listing<Vehicle>> {
    let mut query = matching(filter, scope);
    filter_some!(
        query,
        vehicles::vin.gt(page.key().map(|key| key.0.as_str()))
    );
    query
        .select(VehicleRow::as_select())
        .order(vehicles::vin)
        .fetch_page(connection, capped_count(matching(filter, scope)), &page)
        .await
}

/// Finds a vehicle by its id.
pub async fn find(connection: &mut Connection, vehicle_id: VehicleId) -> Result<Option<Vehicle>> {
    vehicle(vehicle_id).fetch_first(connection).await
}

/// Returns whether the vehicle exists and belongs to the customer.
pub async fn is_owned_by(
    connection: &mut Connection,
    vehicle_id: VehicleId,
    owner_id: UserId,
) -> Result<bool> {
    let owned = vehicles::table
        .find(vehicle_id.0)
        .filter(vehicles::owner_id.eq(owner_id.0));
    Ok(select(exists(owned)).get_result(connection).await?)
}

/// Returns whether the customer owns a vehicle. The answer is only stable while the customer is locked
/// with [`crate::identity::users::lock`].
pub async fn has_any(connection: &mut Connection, owner_id: UserId) -> Result<bool> {
    let owned = vehicles::table.filter(vehicles::owner_id.eq(owner_id.0));
    Ok(select(exists(owned)).get_result(connection).await?)
}

/// Prevents the deletion of the vehicle until the transaction ends; returns whether it exists. Call this
/// before locking rows that belong to the vehicle, because a deletion locks the vehicle first.
pub async fn prevent_deletion(connection: &mut Connection, vehicle_id: VehicleId) -> Result<bool> {
    vehicles::table
        .find(vehicle_id.0)
        .select(vehicles::vehicle_id)
        .for_key_share()
        .affects_rows(connection)
        .await
}

/// Finds and locks a vehicle until the transaction ends, which serializes submissions to it.
pub async fn lock(connection: &mut Connection, vehicle_id: VehicleId) -> Result<Option<Vehicle>> {
    vehicle(vehicle_id)
        .for_no_key_update()
        .fetch_first(connection)
        .await
}

/// Does the same as [`lock`] for several vehicles, in the order of their ids, and returns those that it
/// locked and whether they are connected. It does not wait: vehicles that another transaction has locked
/// are omitted.
pub async fn lock_all(
    connection: &mut Connection,
    vehicle_ids: &[VehicleId],
) -> Result<HashMap<VehicleId, bool>> {
    let ids: Vec<Uuid> = vehicle_ids.iter().map(|id| id.0).collect();
    let locked: Vec<Locked> = prepared!(
        "SELECT locked.vehicle_id, locked.is_connected
         FROM unnest({}) AS wanted (vehicle_id)
         CROSS JOIN LATERAL (
             SELECT vehicle_id, connection_status = 'connected' AS is_connected
             FROM vehicles
             WHERE vehicles.vehicle_id = wanted.vehicle_id
             LIMIT 1
             FOR NO KEY UPDATE SKIP LOCKED) AS locked",
        Array<SqlUuid> = ids,
    )
    .load(connection)
    .await?;
    let locked = locked.into_iter();
    Ok(locked
        .map(|row| (VehicleId(row.vehicle_id), row.is_connected))
        .collect())
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = SqlUuid)]
    vehicle_id: Uuid,
    #[diesel(sql_type = Bool)]
    is_connected: bool,
}

/// Inserts a vehicle.
///
/// # Errors
///
/// [`StorageError::Duplicate`] if the VIN is taken.
pub async fn insert(connection: &mut Connection, vehicle: &Vehicle) -> Result<()> {
    diesel::insert_into(vehicles::table)
        .values((
            vehicles::vehicle_id.eq(vehicle.vehicle_id.0),
            vehicles::vin.eq(vehicle.vin.as_str()),
            vehicles::make.eq(&vehicle.make),
            vehicles::model.eq(&vehicle.model),
            vehicles::year.eq(vehicle.year),
            vehicles::vehicle_type.eq(vehicle.vehicle_type.map(VehicleType::as_str)),
            vehicles::owner_id.eq(vehicle.owner_id.map(|id| id.0)),
            vehicles::connection_status.eq(vehicle.connection_status.as_str()),
            vehicles::last_seen_at.eq(vehicle.last_seen_at),
            vehicles::metadata.eq(&vehicle.metadata),
            vehicles::created_at.eq(vehicle.created_at),
        ))
        .run(connection)
        .await
}

/// Updates everything but the id, VIN and creation time of a vehicle that the caller has locked. A
/// trigger notifies listeners of a new connection status and makes the first queued command due when the
/// vehicle reconnects.
pub async fn update(connection: &mut Connection, vehicle: &Vehicle) -> Result<()> {
    diesel::update(vehicles::table.find(vehicle.vehicle_id.0))
        .set((
            vehicles::make.eq(&vehicle.make),
            vehicles::model.eq(&vehicle.model),
            vehicles::year.eq(vehicle.year),
            vehicles::vehicle_type.eq(vehicle.vehicle_type.map(VehicleType::as_str)),
            vehicles::owner_id.eq(vehicle.owner_id.map(|id| id.0)),
            vehicles::connection_status.eq(vehicle.connection_status.as_str()),
            vehicles::last_seen_at.eq(vehicle.last_seen_at),
            vehicles::metadata.eq(&vehicle.metadata),
        ))
        .run(connection)
        .await
}

/// Finds and locks a vehicle so that no command is queued for it until the transaction ends.
pub async fn lock_for_deletion(
    connection: &mut Connection,
    vehicle_id: VehicleId,
) -> Result<Option<Vehicle>> {
    vehicle(vehicle_id)
        .for_update()
        .fetch_first(connection)
        .await
}

/// Locks and returns the vehicles of a customer, whom the caller has locked for deletion, so that no
/// command is queued for them until the transaction ends.
pub async fn lock_owned_for_deletion(
    connection: &mut Connection,
    owner_id: UserId,
) -> Result<Vec<Vehicle>> {
    vehicles::table
        .filter(vehicles::owner_id.eq(owner_id.0))
        .select(VehicleRow::as_select())
        .order(vehicles::vehicle_id)
        .for_update()
        .fetch_all(connection)
        .await
}

/// Returns whether the vehicle has queued or executing commands. The answer is only stable while the
/// vehicle is locked with [`lock_for_deletion`].
pub async fn has_queue(connection: &mut Connection, vehicle_id: VehicleId) -> Result<bool> {
    let queue = command_queue::table.filter(command_queue::vehicle_id.eq(vehicle_id.0));
    Ok(select(exists(queue)).get_result(connection).await?)
}

/// Deletes a vehicle with its commands and their responses.
pub async fn delete(connection: &mut Connection, vehicle_id: VehicleId) -> Result<()> {
    diesel::delete(vehicles::table.find(vehicle_id.0))
        .run(connection)
        .await
}

#[diesel::dsl::auto_type]
fn vehicle(vehicle_id: VehicleId) -> _ {
    let id: Uuid = vehicle_id.0;
    let columns: AsSelect<VehicleRow, Pg> = VehicleRow::as_select();
    vehicles::table.find(id).select(columns)
}

fn matching<'a>(filter: &'a VehicleFilter, scope: &VehicleScope) -> vehicles::BoxedQuery<'a, Pg> {
    let query = vehicles::table.into_boxed();
    let mut query = match scope {
        // The vehicles of a customer are in list order in an index, which a subquery could not use.
        VehicleScope::OwnedBy(owner_id) => query.filter(vehicles::owner_id.eq(owner_id.0)),
        VehicleScope::All | VehicleScope::Among(_) => {
            within!(query, vehicles::vehicle_id, scope)
        }
    };
    let part = filter.search.as_ref().map(|part| part.to_ascii_uppercase());
    filter_some!(
        query,
        vehicles::connection_status.eq(filter.status.map(ConnectionStatus::as_str)),
        vehicles::vin.like(part.map(|part| like::containing(&part))),
        vehicles::make.eq(filter.make.as_ref()),
        vehicles::model.eq(filter.model.as_ref()),
        vehicles::year.eq(filter.year),
        vehicles::owner_id.eq(filter.owner_id.map(|id| id.0)),
    );
    query
}

#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = vehicles, check_for_backend(Pg))]
pub(crate) struct VehicleRow {
    vehicle_id: Uuid,
    vin: String,
    make: String,
    model: String,
    year: i32,
    connection_status: String,
    last_seen_at: Option<DateTime<Utc>>,
    metadata: Option<Value>,
    created_at: DateTime<Utc>,
    owner_id: Option<Uuid>,
    vehicle_type: Option<String>,
}

impl TryFrom<VehicleRow> for Vehicle {
    type Error = StorageError;

    fn try_from(row: VehicleRow) -> Result<Self> {
        let id = row.vehicle_id;
        Ok(Self {
            vehicle_id: VehicleId(id),
            vin: restore(row.vin, "vehicles", "vin", id)?,
            connection_status: restore(row.connection_status, "vehicles", "connection_status", id)?,
            vehicle_type: restore(row.vehicle_type, "vehicles", "vehicle_type", id)?,
            owner_id: row.owner_id.map(UserId),
            make: row.make,
            model: row.model,
            year: row.year,
            last_seen_at: row.last_seen_at,
            metadata: row.metadata.unwrap_or_else(|| json!({})),
            created_at: row.created_at,
        })
    }
}
