//! The time slots that bookings occupy at workshops.
//!
//! An exclusion constraint prevents overlapping slots of a workshop. Concurrent inserts of overlapping
//! slots could deadlock on it, so an advisory lock serializes them per workshop.

use std::ops::Bound;

use chrono::{DateTime, Utc};
use diesel::{dsl, prelude::*, select, sql_query, sql_types::Text};
use diesel_async::RunQueryDsl;
use sovd_domain::BookingId;

use crate::{Connection, Result, schema::booking_slots, statement::Statement};

/// Assigns a booking the slot of the workshop from `start` to before `end`, replacing any slot it has.
/// Holds the workshop's slot lock until the transaction ends.
///
/// # Errors
///
/// `StorageError::Overlap` if the slot overlaps another booking's, or `StorageError::Dangling` if the
/// booking does not exist. Both abort the transaction.
pub async fn assign(
    connection: &mut Connection,
    booking_id: BookingId,
    service_center_id: &str,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Result<()> {
    lock_workshop(connection, service_center_id).await?;
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
        .run(connection)
        .await
}

/// Returns whether the booking has a slot.
pub async fn exists(connection: &mut Connection, booking_id: BookingId) -> Result<bool> {
    let slot = booking_slots::table.find(booking_id.0);
    Ok(select(dsl::exists(slot)).get_result(connection).await?)
}

/// Deletes the slot of a booking; returns whether it had one.
pub async fn delete(connection: &mut Connection, booking_id: BookingId) -> Result<bool> {
    diesel::delete(booking_slots::table.find(booking_id.0))
        .affects_rows(connection)
        .await
}

async fn lock_workshop(connection: &mut Connection, service_center_id: &str) -> Result<()> {
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended('sovd workshop ' || $1, 0))")
        .bind::<Text, _>(service_center_id)
        .run(connection)
        .await
}
