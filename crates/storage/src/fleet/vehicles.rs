//! Vehicles.

#![expect(
    clippy::missing_errors_doc,
    reason = "`StorageError` documents the errors that every function returns"
)]

use chrono::{DateTime, Utc};
use diesel::{dsl::exists, pg::Pg, prelude::*, select};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use sovd_domain::{
    ConnectionStatus, Page, UserId, Vehicle, VehicleId, VehicleScope, VehicleType, Vin,
};
use uuid::Uuid;

use crate::{
    Connection, StorageError,
    fleet::scope::within,
    like,
    schema::{command_queue, vehicles},
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

/// Lists one page of the matching vehicles in `scope` by VIN, and counts all of them.
pub async fn list(
    connection: &mut Connection,
    filter: &VehicleFilter,
    scope: &VehicleScope,
    page: Page,
) -> Result<(Vec<Vehicle>, i64), StorageError> {
    let total = matching(filter, scope)
        .count()
        .get_result(connection)
        .await?;
    let rows: Vec<VehicleRow> = matching(filter, scope)
        .select(VehicleRow::as_select())
        .order(vehicles::vin)
        .limit(page.limit())
        .offset(page.offset())
        .load(connection)
        .await?;
    let found: Result<_, _> = rows.into_iter().map(Vehicle::try_from).collect();
    Ok((found?, total))
}

/// Finds a vehicle by its id.
pub async fn find(
    connection: &mut Connection,
    vehicle_id: VehicleId,
) -> Result<Option<Vehicle>, StorageError> {
    let row = vehicles::table
        .find(vehicle_id.0)
        .select(VehicleRow::as_select())
        .first(connection)
        .await;
    read(row)
}

/// Finds a vehicle by its VIN.
pub async fn find_by_vin(
    connection: &mut Connection,
    vin: &Vin,
) -> Result<Option<Vehicle>, StorageError> {
    let row = vehicles::table
        .filter(vehicles::vin.eq(vin.as_str()))
        .select(VehicleRow::as_select())
        .first(connection)
        .await;
    read(row)
}

/// Returns whether the vehicle exists and belongs to the customer.
pub async fn is_owned_by(
    connection: &mut Connection,
    vehicle_id: VehicleId,
    owner_id: UserId,
) -> Result<bool, StorageError> {
    let owned = vehicles::table
        .find(vehicle_id.0)
        .filter(vehicles::owner_id.eq(owner_id.0));
    Ok(select(exists(owned)).get_result(connection).await?)
}

/// Returns whether the customer owns a vehicle. The answer is only stable while the customer is locked
/// with [`crate::identity::users::lock`].
pub async fn has_any(connection: &mut Connection, owner_id: UserId) -> Result<bool, StorageError> {
    let owned = vehicles::table.filter(vehicles::owner_id.eq(owner_id.0));
    Ok(select(exists(owned)).get_result(connection).await?)
}

/// Prevents the deletion of the vehicle until the transaction ends; returns whether it exists. Call this
/// before locking rows that belong to the vehicle, because a deletion locks the vehicle first.
pub async fn keep(
    connection: &mut Connection,
    vehicle_id: VehicleId,
) -> Result<bool, StorageError> {
    let kept: Option<Uuid> = vehicles::table
        .find(vehicle_id.0)
        .select(vehicles::vehicle_id)
        .for_key_share()
        .first(connection)
        .await
        .optional()?;
    Ok(kept.is_some())
}

/// Finds and locks a vehicle until the transaction ends, which serializes submissions to it.
pub async fn lock(
    connection: &mut Connection,
    vehicle_id: VehicleId,
) -> Result<Option<Vehicle>, StorageError> {
    let row = vehicles::table
        .find(vehicle_id.0)
        .select(VehicleRow::as_select())
        .for_no_key_update()
        .first(connection)
        .await;
    read(row)
}

/// Inserts a vehicle.
///
/// # Errors
///
/// [`StorageError::Duplicate`] if the VIN is taken.
pub async fn insert(connection: &mut Connection, vehicle: &Vehicle) -> Result<(), StorageError> {
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
        .execute(connection)
        .await?;
    Ok(())
}

/// Updates everything but the id, VIN and creation time of a vehicle that the caller has locked. A
/// trigger notifies listeners of a new connection status and makes the first queued command due when the
/// vehicle reconnects.
pub async fn update(connection: &mut Connection, vehicle: &Vehicle) -> Result<(), StorageError> {
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
        .execute(connection)
        .await?;
    Ok(())
}

/// Finds and locks a vehicle so that no command is queued for it until the transaction ends.
pub async fn lock_for_deletion(
    connection: &mut Connection,
    vehicle_id: VehicleId,
) -> Result<Option<Vehicle>, StorageError> {
    let row = vehicles::table
        .find(vehicle_id.0)
        .select(VehicleRow::as_select())
        .for_update()
        .first(connection)
        .await;
    read(row)
}

/// Locks and returns the vehicles of a customer, whom the caller has locked for deletion, so that no
/// command is queued for them until the transaction ends.
pub async fn lock_owned_for_deletion(
    connection: &mut Connection,
    owner_id: UserId,
) -> Result<Vec<Vehicle>, StorageError> {
    let rows: Vec<VehicleRow> = vehicles::table
        .filter(vehicles::owner_id.eq(owner_id.0))
        .select(VehicleRow::as_select())
        .order(vehicles::vehicle_id)
        .for_update()
        .load(connection)
        .await?;
    rows.into_iter().map(Vehicle::try_from).collect()
}

/// Returns whether the vehicle has queued or executing commands. The answer is only stable while the
/// vehicle is locked with [`lock_for_deletion`].
pub async fn has_queue(
    connection: &mut Connection,
    vehicle_id: VehicleId,
) -> Result<bool, StorageError> {
    let queue = command_queue::table.filter(command_queue::vehicle_id.eq(vehicle_id.0));
    Ok(select(exists(queue)).get_result(connection).await?)
}

/// Deletes a vehicle with its commands and their responses.
pub async fn delete(
    connection: &mut Connection,
    vehicle_id: VehicleId,
) -> Result<(), StorageError> {
    diesel::delete(vehicles::table.find(vehicle_id.0))
        .execute(connection)
        .await?;
    Ok(())
}

fn read(row: QueryResult<VehicleRow>) -> Result<Option<Vehicle>, StorageError> {
    row.optional()?.map(Vehicle::try_from).transpose()
}

fn matching<'a>(filter: &'a VehicleFilter, scope: &VehicleScope) -> vehicles::BoxedQuery<'a, Pg> {
    let mut query = vehicles::table.into_boxed();
    query = within!(query, vehicles::vehicle_id, scope);
    if let Some(status) = filter.status {
        query = query.filter(vehicles::connection_status.eq(status.as_str()));
    }
    if let Some(search) = &filter.search {
        let pattern = like::containing(&search.to_ascii_uppercase());
        query = query.filter(vehicles::vin.like(pattern));
    }
    if let Some(make) = &filter.make {
        query = query.filter(vehicles::make.eq(make));
    }
    if let Some(model) = &filter.model {
        query = query.filter(vehicles::model.eq(model));
    }
    if let Some(owner_id) = filter.owner_id {
        query = query.filter(vehicles::owner_id.eq(owner_id.0));
    }
    if let Some(year) = filter.year {
        query = query.filter(vehicles::year.eq(year));
    }
    query
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = vehicles, check_for_backend(Pg))]
struct VehicleRow {
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

    fn try_from(row: VehicleRow) -> Result<Self, StorageError> {
        let id = row.vehicle_id;
        Ok(Self {
            vehicle_id: VehicleId(id),
            vin: row
                .vin
                .parse()
                .map_err(|error| StorageError::corrupt("vehicles", "vin", id, error))?,
            connection_status: row.connection_status.parse().map_err(|error| {
                StorageError::corrupt("vehicles", "connection_status", id, error)
            })?,
            vehicle_type: row
                .vehicle_type
                .map(|word| word.parse())
                .transpose()
                .map_err(|error| StorageError::corrupt("vehicles", "vehicle_type", id, error))?,
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
