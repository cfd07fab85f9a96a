//! `/api/v1/bookings`

pub(crate) mod change;
pub(crate) mod create;

use actix_web::{HttpResponse, get, web};
use chrono::{DateTime, Utc};
use sovd_domain::{Booking, BookingId, BookingStatus, Outcome, VehicleId};
use sovd_services::maintenance::bookings::BookingFilter;
use uuid::Uuid;

use crate::{
    extract::{Authorized, ListQuery, PathId, list_query},
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

list_query! {
    /// Selects bookings.
    ListBookings {
        /// Bookings in this state: `PENDING`, `CONFIRMED`, `COMPLETED` or `CANCELLED`.
        #[param(value_type = Option<String>, pattern = "^(PENDING|CONFIRMED|COMPLETED|CANCELLED)$")]
        status: Option<BookingStatus>,
        /// Bookings of this vehicle.
        vehicle_id: Option<Uuid>,
    }
}

/// List bookings
///
/// Ordered by appointment. Customers see the bookings of their own vehicles. `X-Total-Count` is the
/// number of matches; `Link` points to the next and the previous page.
#[utoipa::path(
    operation_id = "list_bookings",
    tag = "bookings",
    params(ListBookings),
    responses((status = 200, description = "A page of matching bookings", body = Vec<BookingBody>)),
)]
#[get("")]
pub(crate) async fn list(
    caller: Authorized<ReadBookings>,
    state: web::Data<ApiState>,
    request: ListQuery<ListBookings>,
) -> Result<HttpResponse, Problem> {
    let ListQuery {
        query,
        page,
        paging,
    } = request;
    let filter = BookingFilter {
        status: query.status,
        vehicle_id: query.vehicle_id.map(VehicleId),
    };
    let bookings = state.bookings.list(&caller, &filter, page).await?;
    Ok(paging.respond::<_, BookingBody>(bookings))
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
