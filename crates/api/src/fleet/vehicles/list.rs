use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use serde::Deserialize;
use sovd_domain::{ConnectionStatus, UserId};
use sovd_services::fleet::vehicles::VehicleFilter;
use utoipa::IntoParams;
use uuid::Uuid;

use super::VehicleBody;
use crate::{
    extract::{Authorized, QueryParams, page, page_of},
    permissions::ReadVehicles,
    problem::Problem,
    state::ApiState,
};

/// Filters and page of a list of vehicles.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListVehicles {
    /// Only vehicles with this status: `connected`, `disconnected` or `error`.
    #[param(value_type = Option<String>, pattern = "^(connected|disconnected|error)$")]
    status: Option<ConnectionStatus>,
    /// Only vehicles whose VIN contains this text, in any case.
    search: Option<String>,
    /// Only vehicles of this make.
    make: Option<String>,
    /// Only vehicles of this model.
    model: Option<String>,
    /// Only vehicles of this model year.
    year: Option<i32>,
    /// Only vehicles of this customer.
    owner_id: Option<Uuid>,
    /// The maximum number of vehicles: 1 to 100, by default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// The number of vehicles to skip: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// List vehicles
///
/// Ordered by VIN. `X-Total-Count` has the number of matches, `Link` the next and the previous page.
#[utoipa::path(
    operation_id = "list_vehicles",
    tag = "vehicles",
    params(ListVehicles),
    responses(
        (status = 200, description = "One page of the matching vehicles",
         body = Vec<VehicleBody>),
    ),
)]
#[get("")]
pub(crate) async fn list(
    request: HttpRequest,
    authorized: Authorized<ReadVehicles>,
    state: Data<ApiState>,
    query: QueryParams<ListVehicles>,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let page = page(query.limit, query.offset)?;
    let filter = VehicleFilter {
        status: query.status,
        search: query.search,
        make: query.make,
        model: query.model,
        year: query.year,
        owner_id: query.owner_id.map(UserId),
    };
    let (vehicles, total) = state
        .vehicles
        .list(&authorized.caller, &filter, page)
        .await?;
    let bodies: Vec<VehicleBody> = vehicles.into_iter().map(VehicleBody::from).collect();
    Ok(page_of(&request, page, total, bodies))
}
