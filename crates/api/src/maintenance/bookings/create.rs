use actix_web::{HttpResponse, post, web::Data};
use chrono::{DateTime, Utc};
use sovd_domain::{AnomalyId, VehicleId};
use sovd_services::maintenance::bookings::NewBooking;
use uuid::Uuid;

use super::BookingBody;
use crate::{
    extract::{Authorized, JsonBody, created},
    permissions::Book,
    problem::Problem,
    state::ApiState,
};

request_body! {
    /// A new booking.
    CreateBookingRequest as body into NewBooking {
        /// The vehicle.
        vehicle_id: Uuid = VehicleId(body.vehicle_id),
        /// The workshop: 1 to 100 characters without control characters or surrounding blanks. A workshop
        /// takes one vehicle at a time; a booking without a workshop conflicts with no other. It cannot be
        /// changed.
        #[schema(
            min_length = 1,
            max_length = 100,
            example = "center-berlin",
            pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$"
        )]
        service_center_id: Option<String>,
        /// When the appointment starts (RFC 3339): in the future, at most 2 years ahead.
        appointment_time: DateTime<Utc>,
        /// The customer's notes for the workshop: at most 2,000 characters.
        #[schema(max_length = 2000)]
        customer_notes: Option<String>,
        /// The anomaly of this vehicle to be examined. Completing the booking closes it.
        anomaly_event_id: Option<Uuid> = body.anomaly_event_id.map(AnomalyId),
    }
}

/// Book a service
///
/// The booking occupies a slot of its workshop, if any, until it is completed or cancelled.
#[utoipa::path(
    operation_id = "create_booking",
    tag = "bookings",
    request_body = CreateBookingRequest,
    responses(
        (status = 201, description = "The pending booking",
         body = BookingBody, headers(("Location" = String))),
        (status = 404, description = "`not_found`: the vehicle or the anomaly does not exist or is not \
                                      visible to the caller"),
        (status = 409, description = "`conflict`: the workshop has another booking at that time, or \
                                      the anomaly is closed or has another booking"),
    ),
)]
#[post("")]
pub(crate) async fn create(
    caller: Authorized<Book>,
    state: Data<ApiState>,
    body: JsonBody<CreateBookingRequest>,
) -> Result<HttpResponse, Problem> {
    let booking = state.bookings.create(&caller, body.0.into()).await?;
    let location = format!("/api/v1/bookings/{}", booking.id);
    Ok(created(location, BookingBody::from(booking)))
}
