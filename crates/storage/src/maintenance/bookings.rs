//! Bookings: appointments of vehicles in workshops.

pub mod slots;

use chrono::{DateTime, Utc};
use diesel::{dsl::exists, pg::Pg, prelude::*, select};
use diesel_async::RunQueryDsl;
use sovd_domain::{
    AnomalyId, Booking, BookingId, BookingStatus, Outcome, Page, VehicleId, VehicleScope,
};
use uuid::Uuid;

use crate::{
    Connection, StorageError,
    fleet::scope::within,
    schema::{booking_anomalies, service_bookings},
};

/// The states of a booking that has not ended.
const OPEN: [&str; 2] = [
    BookingStatus::Pending.as_str(),
    BookingStatus::Confirmed.as_str(),
];

/// Which bookings to list; what is not set does not narrow the list.
#[derive(Debug, Clone, Default)]
pub struct BookingFilter {
    /// Those in this state.
    pub status: Option<BookingStatus>,
    /// Those of this vehicle.
    pub vehicle_id: Option<VehicleId>,
    /// Those of vehicles among these.
    pub among: VehicleScope,
}

/// One page of the bookings that match, by appointment, and how many match in all.
///
/// # Errors
///
/// When the database is away or a row is unreadable.
pub async fn list(
    connection: &mut Connection,
    filter: &BookingFilter,
    page: Page,
) -> Result<(Vec<Booking>, i64), StorageError> {
    let total = matching(filter).count().get_result(connection).await?;
    let rows: Vec<BookingRow> = matching(filter)
        .order((service_bookings::appointment_time, service_bookings::id))
        .limit(page.limit())
        .offset(page.offset())
        .select(BookingRow::as_select())
        .load(connection)
        .await?;
    let found: Result<_, _> = rows.into_iter().map(Booking::try_from).collect();
    Ok((found?, total))
}

/// The booking with the id.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn find(
    connection: &mut Connection,
    id: BookingId,
) -> Result<Option<Booking>, StorageError> {
    let row: Option<BookingRow> = service_bookings::table
        .find(id.0)
        .select(BookingRow::as_select())
        .first(connection)
        .await
        .optional()?;
    row.map(Booking::try_from).transpose()
}

/// Returns the booking with the id if its vehicle is in `scope`.
///
/// # Errors
///
/// When the database is unavailable or the row is unreadable.
pub async fn find_within(
    connection: &mut Connection,
    id: BookingId,
    scope: &VehicleScope,
) -> Result<Option<Booking>, StorageError> {
    let query = service_bookings::table.find(id.0).into_boxed();
    let row: Option<BookingRow> = within!(query, service_bookings::vehicle_id, scope)
        .select(BookingRow::as_select())
        .first(connection)
        .await
        .optional()?;
    row.map(Booking::try_from).transpose()
}

/// The booking with the id, locked until the transaction ends.
///
/// # Errors
///
/// When the database is away or the row is unreadable.
pub async fn lock(
    connection: &mut Connection,
    id: BookingId,
) -> Result<Option<Booking>, StorageError> {
    let locked: Option<Uuid> = service_bookings::table
        .find(id.0)
        .select(service_bookings::id)
        .for_no_key_update()
        .first(connection)
        .await
        .optional()?;
    // Only now is it sure that nobody changes what is read.
    match locked {
        Some(_) => find(connection, id).await,
        None => Ok(None),
    }
}

/// Writes a booking, and which anomaly it is about. Its slot is a matter of [`slots::take`].
///
/// # Errors
///
/// [`StorageError::Dangling`] when its vehicle or its anomaly is gone.
pub async fn insert(connection: &mut Connection, booking: &Booking) -> Result<(), StorageError> {
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
        .execute(connection)
        .await?;
    Ok(())
}

/// Moves a booking from one state to another; says whether it was there.
///
/// # Errors
///
/// When the database is away.
pub async fn change_status(
    connection: &mut Connection,
    id: BookingId,
    from: BookingStatus,
    to: BookingStatus,
) -> Result<bool, StorageError> {
    let start = service_bookings::table
        .find(id.0)
        .filter(service_bookings::status.eq(from.as_str()));
    let changed = diesel::update(start)
        .set(service_bookings::status.eq(to.as_str()))
        .execute(connection)
        .await?;
    Ok(changed > 0)
}

/// Moves a booking that has not ended to another time; says whether there was one. Its slot is a
/// matter of [`slots::take`].
///
/// # Errors
///
/// When the database is away.
pub async fn move_to(
    connection: &mut Connection,
    id: BookingId,
    appointment_time: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let open = service_bookings::table
        .find(id.0)
        .filter(service_bookings::status.eq_any(OPEN));
    let moved = diesel::update(open)
        .set(service_bookings::appointment_time.eq(appointment_time))
        .execute(connection)
        .await?;
    Ok(moved > 0)
}

/// Writes what the customer wants the workshop to know, or takes it away. The caller has locked the
/// booking.
///
/// # Errors
///
/// When the database is away.
pub async fn set_notes(
    connection: &mut Connection,
    id: BookingId,
    customer_notes: Option<&str>,
) -> Result<(), StorageError> {
    diesel::update(service_bookings::table.find(id.0))
        .set(service_bookings::customer_notes.eq(customer_notes))
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes away what customers wanted workshops to know in the bookings of a vehicle that the caller has
/// locked; says of how many bookings.
///
/// # Errors
///
/// When the database is away.
pub async fn remove_notes(
    connection: &mut Connection,
    vehicle_id: VehicleId,
) -> Result<usize, StorageError> {
    let noted = service_bookings::table
        .filter(service_bookings::vehicle_id.eq(vehicle_id.0))
        .filter(service_bookings::customer_notes.is_not_null());
    let removed = diesel::update(noted)
        .set(service_bookings::customer_notes.eq(None::<String>))
        .execute(connection)
        .await?;
    Ok(removed)
}

/// Writes what the workshop found of the anomaly; says whether the booking is about one of which
/// nothing was found yet.
///
/// # Errors
///
/// When the database is away.
pub async fn set_outcome(
    connection: &mut Connection,
    id: BookingId,
    outcome: Outcome,
) -> Result<bool, StorageError> {
    let open = booking_anomalies::table
        .find(id.0)
        .filter(booking_anomalies::outcome.is_null());
    let written = diesel::update(open)
        .set(booking_anomalies::outcome.eq(outcome.as_str()))
        .execute(connection)
        .await?;
    Ok(written > 0)
}

/// Whether a booking that has not ended is about the anomaly. The caller has locked it with
/// [`crate::maintenance::episodes::lock`], or a booking may come after the look.
///
/// # Errors
///
/// When the database is away.
pub async fn is_booked(
    connection: &mut Connection,
    anomaly_id: AnomalyId,
) -> Result<bool, StorageError> {
    let open = booking_anomalies::table
        .inner_join(
            service_bookings::table.on(service_bookings::id.eq(booking_anomalies::booking_id)),
        )
        .filter(booking_anomalies::anomaly_event_id.eq(anomaly_id.0))
        .filter(service_bookings::status.eq_any(OPEN));
    Ok(select(exists(open)).get_result(connection).await?)
}

fn matching(filter: &BookingFilter) -> service_bookings::BoxedQuery<'_, Pg> {
    let mut query = service_bookings::table.into_boxed();
    if let Some(status) = filter.status {
        query = query.filter(service_bookings::status.eq(status.as_str()));
    }
    if let Some(vehicle_id) = filter.vehicle_id {
        query = query.filter(service_bookings::vehicle_id.eq(vehicle_id.0));
    }
    within!(query, service_bookings::vehicle_id, &filter.among)
}

/// The anomaly of a booking.
#[diesel::dsl::auto_type]
fn anomaly() -> _ {
    booking_anomalies::table
        .filter(booking_anomalies::booking_id.eq(service_bookings::id))
        .select(booking_anomalies::anomaly_event_id)
        .single_value()
}

/// What was found of it.
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

    fn try_from(row: BookingRow) -> Result<Self, StorageError> {
        let id = row.id;
        Ok(Self {
            id: BookingId(id),
            vehicle_id: VehicleId(row.vehicle_id),
            service_center_id: row.service_center_id,
            appointment_time: row.appointment_time,
            status: row
                .status
                .parse()
                .map_err(|error| StorageError::corrupt("service_bookings", "status", id, error))?,
            customer_notes: row.customer_notes,
            created_at: row.created_at,
            anomaly_event_id: row.anomaly_event_id.map(AnomalyId),
            outcome: row
                .outcome
                .map(|word| word.parse())
                .transpose()
                .map_err(|error| {
                    StorageError::corrupt("booking_anomalies", "outcome", id, error)
                })?,
        })
    }
}
