//! The time that bookings take of workshops.
//!
//! A constraint keeps the slots of a workshop apart. Two that are inserted at once would each wait for
//! the other, so whoever takes a slot first takes the workshop's turn.

use std::ops::Bound;

use chrono::{DateTime, Utc};
use diesel::{dsl::exists, prelude::*, select, sql_query, sql_types::Text};
use diesel_async::RunQueryDsl;
use sovd_domain::BookingId;

use crate::{Connection, StorageError, schema::booking_slots};

/// Gives a booking the slot of the workshop from `start` until before `end`, in place of the one it may
/// have. The workshop's turn lasts until the transaction ends.
///
/// # Errors
///
/// [`StorageError::Overlap`] when another booking has some of that time, or
/// [`StorageError::Dangling`] when there is no such booking. The transaction is then good for nothing
/// but a rollback.
pub async fn take(
    connection: &mut Connection,
    booking_id: BookingId,
    service_center_id: &str,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Result<(), StorageError> {
    wait_for_turn(connection, service_center_id).await?;
    let during = (Bound::Included(start), Bound::Excluded(end));
    diesel::insert_into(booking_slots::table)
        .values((
            booking_slots::booking_id.eq(booking_id.0),
            booking_slots::service_center_id.eq(service_center_id),
            booking_slots::during.eq(during),
        ))
        .on_conflict(booking_slots::booking_id)
        .do_update()
        .set((
            booking_slots::service_center_id.eq(service_center_id),
            booking_slots::during.eq(during),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether the booking has a slot.
///
/// # Errors
///
/// When the database is away.
pub async fn is_taken(
    connection: &mut Connection,
    booking_id: BookingId,
) -> Result<bool, StorageError> {
    let slot = booking_slots::table.find(booking_id.0);
    Ok(select(exists(slot)).get_result(connection).await?)
}

/// Lets go of the slot of a booking; says whether it had one.
///
/// # Errors
///
/// When the database is away.
pub async fn free(
    connection: &mut Connection,
    booking_id: BookingId,
) -> Result<bool, StorageError> {
    let freed = diesel::delete(booking_slots::table.find(booking_id.0))
        .execute(connection)
        .await?;
    Ok(freed > 0)
}

/// Nobody else takes a slot of the workshop until the transaction ends.
async fn wait_for_turn(
    connection: &mut Connection,
    service_center_id: &str,
) -> Result<(), StorageError> {
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended('sovd workshop ' || $1, 0))")
        .bind::<Text, _>(service_center_id)
        .execute(connection)
        .await?;
    Ok(())
}
