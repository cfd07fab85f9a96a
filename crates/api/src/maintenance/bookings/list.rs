use actix_web::{HttpResponse, get, web::Data};
use sovd_domain::{BookingStatus, VehicleId};
use sovd_services::maintenance::bookings::BookingFilter;
use uuid::Uuid;

use super::BookingBody;
use crate::{
    extract::{Authorized, ListQuery, list_query},
    permissions::ReadBookings,
    problem::Problem,
    state::ApiState,
};

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
    state: Data<ApiState>,
    request: ListQuery<ListBookings>,
) -> Result<HttpResponse, Problem> {
    let ListQuery { query, paging } = request;
    let filter = BookingFilter {
        status: query.status,
        vehicle_id: query.vehicle_id.map(VehicleId),
    };
    let bookings = state.bookings.list(&caller, &filter, paging.page).await?;
    Ok(paging.respond::<_, BookingBody>(bookings))
}
