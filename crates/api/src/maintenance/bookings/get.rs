use actix_web::{get, web};
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
    caller: Authorized<ReadBookings>,
    state: web::Data<ApiState>,
    booking_id: PathId<BookingId>,
) -> Result<web::Json<BookingBody>, Problem> {
    let booking = state.bookings.get(&caller, booking_id.0).await?;
    Ok(web::Json(booking.into()))
}
