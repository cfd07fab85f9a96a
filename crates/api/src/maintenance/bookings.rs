//! `/api/v1/bookings`

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod list;

use actix_web::{get, web};
use chrono::{DateTime, Utc};
use sovd_domain::{Booking, BookingId, Outcome};
use uuid::Uuid;

use crate::{
    extract::{Authorized, PathId},
    permissions::ReadBookings,
    problem::Problem,
    state::ApiState,
};

response_body! {
    /// An appointment of a vehicle at a workshop.
    #[schema(as = Booking)]
    BookingBody from booking: Booking {
        /// Identifies the booking.
        id: Uuid = booking.id.0,
        /// The vehicle.
        vehicle_id: Uuid = booking.vehicle_id.0,
        /// The workshop; null if none was chosen. It cannot be changed.
        #[schema(example = "center-berlin")]
        service_center_id: Option<String>,
        /// When the appointment starts.
        appointment_time: DateTime<Utc>,
        /// `PENDING`, `CONFIRMED`, `COMPLETED` or `CANCELLED`.
        #[schema(example = "PENDING")]
        status: &'static str = booking.status.as_str(),
        /// The customer's notes for the workshop.
        customer_notes: Option<String>,
        /// When the booking was created.
        created_at: DateTime<Utc>,
        /// The anomaly to be examined; null if there is none.
        anomaly_event_id: Option<Uuid> = booking.anomaly_event_id.map(|id| id.0),
        /// The workshop's finding about the anomaly: `confirmed`, `no_fault_found` or `other`; null until
        /// the booking is completed.
        outcome: Option<&'static str> = booking.outcome.map(Outcome::as_str),
    }
}

/// Get a booking
#[utoipa::path(
    operation_id = "get_booking",
    tag = "bookings",
    params(("booking_id" = Uuid, Path, description = "The booking")),
    responses((status = 200, description = "The booking", body = BookingBody)),
)]
#[get("/{booking_id}")]
pub(crate) async fn get_booking(
    caller: Authorized<ReadBookings>,
    state: web::Data<ApiState>,
    booking_id: PathId<BookingId>,
) -> Result<web::Json<BookingBody>, Problem> {
    let booking = state.bookings.get(&caller, booking_id.0).await?;
    Ok(web::Json(booking.into()))
}
