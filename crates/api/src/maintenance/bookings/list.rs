use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::Deserialize;
use sovd_domain::{BookingStatus, VehicleId};
use sovd_services::maintenance::bookings::BookingFilter;
use utoipa::IntoParams;
use uuid::Uuid;

use super::BookingBody;
use crate::{
    extract::{Authorized, QueryParams, page, page_of},
    permissions::ReadBookings,
    problem::Problem,
    state::ApiState,
};

/// Selects bookings.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListBookings {
    /// Bookings in this state: `PENDING`, `CONFIRMED`, `COMPLETED` or `CANCELLED`.
    #[param(value_type = Option<String>, pattern = "^(PENDING|CONFIRMED|COMPLETED|CANCELLED)$")]
    status: Option<BookingStatus>,
    /// Bookings of this vehicle.
    vehicle_id: Option<Uuid>,
    /// Maximum number of items: 1 to 100; default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Number of items to skip: 0 or more; default 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
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
    request: HttpRequest,
    authorized: Authorized<ReadBookings>,
    state: Data<ApiState>,
    query: QueryParams<ListBookings>,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let page = page(query.limit, query.offset)?;
    let filter = BookingFilter {
        status: query.status,
        vehicle_id: query.vehicle_id.map(VehicleId),
    };
    let (bookings, total) = state
        .bookings
        .list(&authorized.caller, &filter, page)
        .await?;
    let bodies: Vec<BookingBody> = bookings.into_iter().map(BookingBody::from).collect();
    Ok(page_of(&request, page, total, bodies))
}
