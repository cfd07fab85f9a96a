use actix_web::{
    patch,
    web::{Data, Json},
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use sovd_domain::{BookingId, BookingStatus, Outcome, Patch};
use sovd_services::maintenance::bookings::BookingChange;
use utoipa::ToSchema;

use super::BookingBody;
use crate::{
    extract::{Authorized, JsonBody, PathId},
    permissions::Book,
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// What is to be changed; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub(crate) struct ChangeBookingRequest {
    /// From `PENDING` to `CONFIRMED`, from there to `COMPLETED`, from both to `CANCELLED`.
    #[schema(nullable = false, value_type = Option<String>, pattern = "^(PENDING|CONFIRMED|COMPLETED|CANCELLED)$")]
    status: Option<BookingStatus>,
    /// Another time (RFC 3339): in the future, at most 2 years ahead.
    #[schema(nullable = false)]
    appointment_time: Option<DateTime<Utc>>,
    /// What the customer wants the workshop to know: at most 2,000 characters; null for nothing.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 2000)]
    customer_notes: Patch<String>,
    /// `confirmed`, `no_fault_found` or `other`: what the workshop found, when a booking about an
    /// anomaly is completed.
    #[schema(nullable = false, value_type = Option<String>, pattern = "^(confirmed|no_fault_found|other)$")]
    outcome: Option<Outcome>,
}

/// Change a booking
///
/// A customer can only call it off. Completing a booking about an anomaly closes the anomaly.
#[utoipa::path(
    operation_id = "change_booking",
    tag = "bookings",
    security(("bearer" = [])),
    params(("booking_id" = Uuid, Path, description = "The booking")),
    request_body = ChangeBookingRequest,
    responses(
        (status = 200, description = "The booking as it is now", body = BookingBody),
        (status = 409, description = "`conflict`: it is past this change, or the workshop has another \
                                      booking at that time",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[patch("/{booking_id}")]
pub(crate) async fn change(
    authorized: Authorized<Book>,
    state: Data<ApiState>,
    booking_id: PathId<BookingId>,
    body: JsonBody<ChangeBookingRequest>,
) -> Result<Json<BookingBody>, Problem> {
    let ChangeBookingRequest {
        status,
        appointment_time,
        customer_notes,
        outcome,
    } = body.0;
    let change = BookingChange {
        status,
        appointment_time,
        customer_notes,
        outcome,
    };
    let changing = state
        .bookings
        .change(&authorized.caller, booking_id.0, change);
    Ok(Json(changing.await?.into()))
}
