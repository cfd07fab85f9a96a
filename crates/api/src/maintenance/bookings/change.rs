use actix_web::{patch, web};
use chrono::{DateTime, Utc};
use sovd_domain::{BookingId, BookingStatus, Outcome, Patch};
use sovd_services::maintenance::bookings::BookingChange;

use super::BookingBody;
use crate::{
    extract::{Authorized, JsonBody, PathId},
    permissions::Book,
    problem::Problem,
    state::ApiState,
};

request_body! {
    /// Changes to a booking; omitted fields stay unchanged.
    #[schema(min_properties = 1)]
    ChangeBookingRequest as body into BookingChange {
        /// `PENDING` to `CONFIRMED`, `CONFIRMED` to `COMPLETED`, either to `CANCELLED`.
        #[schema(nullable = false, value_type = Option<String>, pattern = "^(PENDING|CONFIRMED|COMPLETED|CANCELLED)$")]
        status: Option<BookingStatus>,
        /// The new start (RFC 3339): in the future, at most 2 years ahead.
        #[schema(nullable = false)]
        appointment_time: Option<DateTime<Utc>>,
        /// The customer's notes for the workshop: at most 2,000 characters; null removes them.
        #[serde(default)]
        #[schema(value_type = Option<String>, max_length = 2000)]
        customer_notes: Patch<String>,
        /// The workshop's finding, required to complete a booking with an anomaly: `confirmed`,
        /// `no_fault_found` or `other`.
        #[schema(nullable = false, value_type = Option<String>, pattern = "^(confirmed|no_fault_found|other)$")]
        outcome: Option<Outcome>,
    }
}

/// Change a booking
///
/// Customers can only cancel. Completing a booking with an anomaly closes the anomaly.
#[utoipa::path(
    operation_id = "change_booking",
    tag = "bookings",
    params(("booking_id" = Uuid, Path, description = "The booking")),
    request_body = ChangeBookingRequest,
    responses(
        (status = 200, description = "The changed booking", body = BookingBody),
        (status = 409, description = "`conflict`: the state of the booking does not allow the change, \
                                      or the workshop has another booking at that time"),
    ),
)]
#[patch("/{booking_id}")]
pub(crate) async fn change(
    caller: Authorized<Book>,
    state: web::Data<ApiState>,
    booking_id: PathId<BookingId>,
    body: JsonBody<ChangeBookingRequest>,
) -> Result<web::Json<BookingBody>, Problem> {
    let booking = state
        .bookings
        .change(&caller, booking_id.0, body.0.into())
        .await?;
    Ok(web::Json(booking.into()))
}
