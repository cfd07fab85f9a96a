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

/// Which vehicles.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListVehicles {
    /// Those in this state: `connected`, `disconnected` or `error`.
    #[param(value_type = Option<String>, pattern = "^(connected|disconnected|error)$")]
    status: Option<ConnectionStatus>,
    /// Those with this in their VIN, whatever its case.
    search: Option<String>,
    /// Those of this make.
    make: Option<String>,
    /// Those of this model.
    model: Option<String>,
    /// Those of this model year.
    year: Option<i32>,
    /// Those of this customer.
    owner_id: Option<Uuid>,
    /// How many at most: 1 to 100, 50 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// How many to pass over: 0 or more.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// List vehicles
///
/// By VIN. `X-Total-Count` tells how many match, `Link` where the next and the previous page are.
#[utoipa::path(
    operation_id = "list_vehicles",
    tag = "vehicles",
    security(("bearer" = [])),
    params(ListVehicles),
    responses(
        (status = 200, description = "One page of the vehicles that match",
         body = Vec<VehicleBody>,
         headers(("X-Total-Count" = i64), ("Link" = String))),
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
