use actix_web::{HttpResponse, http::header::LOCATION, post, web::Data};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use sovd_domain::{AnomalyId, VehicleId};
use sovd_services::maintenance::bookings::NewBooking;
use utoipa::ToSchema;
use uuid::Uuid;

use super::BookingBody;
use crate::{
    extract::{Authorized, JsonBody},
    permissions::Book,
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// A booking to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateBookingRequest {
    /// The vehicle.
    vehicle_id: Uuid,
    /// The workshop: 1 to 100 characters, no control characters and no blanks at its ends. It takes one
    /// vehicle at a time, and stays the booking's. A booking without one conflicts with no other.
    #[schema(
        min_length = 1,
        max_length = 100,
        example = "center-berlin",
        pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$"
    )]
    service_center_id: Option<String>,
    /// When the vehicle is to be there (RFC 3339): in the future, at most 2 years ahead.
    appointment_time: DateTime<Utc>,
    /// What the customer wants the workshop to know: at most 2,000 characters.
    #[schema(max_length = 2000)]
    customer_notes: Option<String>,
    /// The anomaly of this vehicle that it is about. Completing the booking closes it.
    anomaly_event_id: Option<Uuid>,
}

/// Book a service
///
/// With a workshop, the booking takes a slot of it until it is completed or cancelled.
#[utoipa::path(
    operation_id = "create_booking",
    tag = "bookings",
    security(("bearer" = [])),
    request_body = CreateBookingRequest,
    responses(
        (status = 201, description = "It is booked, and waits for the workshop's word",
         body = BookingBody, headers(("Location" = String))),
        (status = 404, description = "`not_found`: no such vehicle or anomaly, or not for the caller",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: the workshop has another booking at that time, or \
                                      the anomaly is closed or booked",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[post("")]
pub(crate) async fn create(
    authorized: Authorized<Book>,
    state: Data<ApiState>,
    body: JsonBody<CreateBookingRequest>,
) -> Result<HttpResponse, Problem> {
    let CreateBookingRequest {
        vehicle_id,
        service_center_id,
        appointment_time,
        customer_notes,
        anomaly_event_id,
    } = body.0;
    let new = NewBooking {
        vehicle_id: VehicleId(vehicle_id),
        service_center_id,
        appointment_time,
        customer_notes,
        anomaly_event_id: anomaly_event_id.map(AnomalyId),
    };
    let booking = state.bookings.create(&authorized.caller, new).await?;
    let location = format!("/api/v1/bookings/{}", booking.id);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(BookingBody::from(booking)))
}
