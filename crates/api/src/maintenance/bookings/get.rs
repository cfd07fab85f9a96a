use actix_web::{
    get,
    web::{Data, Json},
};
use sovd_domain::BookingId;

use super::BookingBody;
use crate::{
    extract::{Authorized, PathId},
    permissions::ReadBookings,
    problem::Problem,
    state::ApiState,
};

/// Get a booking
#[utoipa::path(
    operation_id = "get_booking",
    tag = "bookings",
    params(("booking_id" = Uuid, Path, description = "The booking")),
    responses((status = 200, description = "The booking", body = BookingBody)),
)]
#[get("/{booking_id}")]
pub(crate) async fn get_booking(
    authorized: Authorized<ReadBookings>,
    state: Data<ApiState>,
    booking_id: PathId<BookingId>,
) -> Result<Json<BookingBody>, Problem> {
    let booking = state.bookings.get(&authorized.caller, booking_id.0).await?;
    Ok(Json(booking.into()))
}
