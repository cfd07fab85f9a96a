//! Workshop bookings.

pub mod slots;

use chrono::{DateTime, Utc};
use diesel::{dsl::exists, pg::Pg, prelude::*, select};
use diesel_async::RunQueryDsl;
use sovd_domain::{
    AnomalyId, Booking, BookingId, BookingStatus, Listing, Outcome, Page, VehicleId, VehicleScope,
};
use uuid::Uuid;

use crate::{
    Connection, Result, StorageError,
    filters::filter_some,
    fleet::scope::within,
    rows::restore,
    schema::{booking_anomalies, service_bookings},
    statement::{Statement, capped_count},
};

/// The states that are not final.
const OPEN: [&str; 2] = [
    BookingStatus::Pending.as_str(),
    BookingStatus::Confirmed.as_str(),
];

/// Selects bookings; an unset field matches every booking.
#[derive(Debug, Clone, Default)]
pub struct BookingFilter {
    /// Bookings in this state.
    pub status: Option<BookingStatus>,
    /// Bookings of this vehicle.
    pub vehicle_id: Option<VehicleId>,
}

/// Returns a page of the matching bookings of vehicles in `scope`, ordered by appointment.
pub async fn list(
    connection: &mut Connection,
    filter: &BookingFilter,
    scope: &VehicleScope,
    page: Page,
) -> Result<Listing<Booking>> {
    matching(filter, scope)
        .order((service_bookings::appointment_time, service_bookings::id))
        .select(BookingRow::as_select())
        .fetch_page(connection, capped_count(matching(filter, scope)), &page)
        .await
}

/// Returns the booking with the id if its vehicle is in `scope`.
pub async fn find_within(
    connection: &mut Connection,
    id: BookingId,
    scope: &VehicleScope,
) -> Result<Option<Booking>> {
    let query = service_bookings::table.find(id.0).into_boxed();
    within!(query, service_bookings::vehicle_id, scope)
        .select(BookingRow::as_select())
        .fetch_first(connection)
        .await
}

/// Returns the booking with the id and locks it until the transaction ends.
pub async fn lock(connection: &mut Connection, id: BookingId) -> Result<Option<Booking>> {
    let is_locked = service_bookings::table
        .find(id.0)
        .select(service_bookings::id)
        .for_no_key_update()
        .affects_rows(connection)
        .await?;
    // A separate statement, whose snapshot includes what was committed during the wait for the lock.
    if !is_locked {
        return Ok(None);
    }
    find_within(connection, id, &VehicleScope::All).await
}

/// Inserts a booking and its reference to an anomaly, but no slot; see [`slots::assign`].
///
/// # Errors
///
/// [`StorageError::Dangling`] if the vehicle or the anomaly does not exist.
pub async fn insert(connection: &mut Connection, booking: &Booking) -> Result<()> {
    diesel::insert_into(service_bookings::table)
        .values((
            service_bookings::id.eq(booking.id.0),
            service_bookings::vehicle_id.eq(booking.vehicle_id.0),
            service_bookings::service_center_id.eq(&booking.service_center_id),
            service_bookings::appointment_time.eq(booking.appointment_time),
            service_bookings::status.eq(booking.status.as_str()),
            service_bookings::customer_notes.eq(&booking.customer_notes),
            service_bookings::created_at.eq(booking.created_at),
        ))
        .execute(connection)
        .await?;
    let Some(anomaly_event_id) = booking.anomaly_event_id else {
        return Ok(());
    };
    diesel::insert_into(booking_anomalies::table)
        .values((
            booking_anomalies::booking_id.eq(booking.id.0),
            booking_anomalies::anomaly_event_id.eq(anomaly_event_id.0),
            booking_anomalies::outcome.eq(booking.outcome.map(Outcome::as_str)),
        ))
        .run(connection)
        .await
}

/// Changes the state of a booking; returns whether it was in state `from`.
pub async fn change_status(
    connection: &mut Connection,
    id: BookingId,
    from: BookingStatus,
    to: BookingStatus,
) -> Result<bool> {
    let start = service_bookings::table
        .find(id.0)
        .filter(service_bookings::status.eq(from.as_str()));
    diesel::update(start)
        .set(service_bookings::status.eq(to.as_str()))
        .affects_rows(connection)
        .await
}

/// Changes the time of a booking, but not its slot; see [`slots::assign`]. Returns whether the booking
/// exists and has not ended.
pub async fn move_to(
    connection: &mut Connection,
    id: BookingId,
    appointment_time: DateTime<Utc>,
) -> Result<bool> {
    let open = service_bookings::table
        .find(id.0)
        .filter(service_bookings::status.eq_any(OPEN));
    diesel::update(open)
        .set(service_bookings::appointment_time.eq(appointment_time))
        .affects_rows(connection)
        .await
}

/// Sets or removes the customer's notes. The caller must hold the lock of the booking.
pub async fn set_notes(
    connection: &mut Connection,
    id: BookingId,
    customer_notes: Option<&str>,
) -> Result<()> {
    diesel::update(service_bookings::table.find(id.0))
        .set(service_bookings::customer_notes.eq(customer_notes))
        .run(connection)
        .await
}

/// Removes the customer's notes from the bookings of a vehicle and returns the number of bookings
/// changed. The caller must hold the lock of the vehicle.
pub async fn remove_notes(connection: &mut Connection, vehicle_id: VehicleId) -> Result<usize> {
    let noted = service_bookings::table
        .filter(service_bookings::vehicle_id.eq(vehicle_id.0))
        .filter(service_bookings::customer_notes.is_not_null());
    diesel::update(noted)
        .set(service_bookings::customer_notes.eq(None::<String>))
        .count_rows(connection)
        .await
}

/// Sets the workshop's finding about the anomaly; returns whether the booking has an anomaly without a
/// finding.
pub async fn set_outcome(
    connection: &mut Connection,
    id: BookingId,
    outcome: Outcome,
) -> Result<bool> {
    let open = booking_anomalies::table
        .find(id.0)
        .filter(booking_anomalies::outcome.is_null());
    diesel::update(open)
        .set(booking_anomalies::outcome.eq(outcome.as_str()))
        .affects_rows(connection)
        .await
}

/// Returns whether the anomaly has a booking that has not ended. The caller must hold the lock of the
/// anomaly ([`episodes::lock`](crate::maintenance::episodes::lock)), or a booking may be inserted
/// concurrently.
pub async fn is_booked(connection: &mut Connection, anomaly_id: AnomalyId) -> Result<bool> {
    let open = booking_anomalies::table
        .inner_join(service_bookings::table)
        .filter(booking_anomalies::anomaly_event_id.eq(anomaly_id.0))
        .filter(service_bookings::status.eq_any(OPEN));
    Ok(select(exists(open)).get_result(connection).await?)
}

fn matching<'a>(
    filter: &'a BookingFilter,
    scope: &VehicleScope,
) -> service_bookings::BoxedQuery<'a, Pg> {
    let query = service_bookings::table.into_boxed();
    let mut query = within!(query, service_bookings::vehicle_id, scope);
    filter_some!(
        query,
        service_bookings::status.eq(filter.status.map(BookingStatus::as_str)),
        service_bookings::vehicle_id.eq(filter.vehicle_id.map(|id| id.0)),
    );
    query
}

/// The anomaly of a booking.
#[diesel::dsl::auto_type]
fn anomaly() -> _ {
    booking_anomalies::table
        .filter(booking_anomalies::booking_id.eq(service_bookings::id))
        .select(booking_anomalies::anomaly_event_id)
        .single_value()
}

/// The finding about the anomaly of a booking.
#[diesel::dsl::auto_type]
fn outcome() -> _ {
    booking_anomalies::table
        .filter(booking_anomalies::booking_id.eq(service_bookings::id))
        .select(booking_anomalies::outcome)
        .single_value()
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = service_bookings, check_for_backend(Pg))]
struct BookingRow {
    id: Uuid,
    vehicle_id: Uuid,
    service_center_id: Option<String>,
    appointment_time: DateTime<Utc>,
    status: String,
    customer_notes: Option<String>,
    created_at: DateTime<Utc>,
    #[diesel(select_expression = anomaly())]
    anomaly_event_id: Option<Uuid>,
    #[diesel(select_expression = outcome())]
    outcome: Option<String>,
}

impl TryFrom<BookingRow> for Booking {
    type Error = StorageError;

    fn try_from(row: BookingRow) -> Result<Self> {
        let id = row.id;
        Ok(Self {
            id: BookingId(id),
            vehicle_id: VehicleId(row.vehicle_id),
            service_center_id: row.service_center_id,
            appointment_time: row.appointment_time,
            status: restore(row.status, "service_bookings", "status", id)?,
            customer_notes: row.customer_notes,
            created_at: row.created_at,
            anomaly_event_id: row.anomaly_event_id.map(AnomalyId),
            outcome: restore(row.outcome, "booking_anomalies", "outcome", id)?,
        })
    }
}
