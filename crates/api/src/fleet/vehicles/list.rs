use actix_web::{HttpResponse, get, web::Data};
use sovd_domain::{ConnectionStatus, UserId};
use sovd_services::fleet::vehicles::VehicleFilter;
use uuid::Uuid;

use super::VehicleBody;
use crate::{
    extract::{Authorized, ListQuery, list_query},
    permissions::ReadVehicles,
    problem::Problem,
    state::ApiState,
};

list_query! {
    /// Filters and page of a list of vehicles.
    ListVehicles by VehicleKey {
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
    }
    "The maximum number of vehicles: 1 to 100, by default 50."
    "The number of vehicles to skip: 0 or more."
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
    caller: Authorized<ReadVehicles>,
    state: Data<ApiState>,
    request: ListQuery<ListVehicles>,
) -> Result<HttpResponse, Problem> {
    let ListQuery {
        query,
        page,
        paging,
    } = request;
    let filter = VehicleFilter {
        status: query.status,
        search: query.search,
        make: query.make,
        model: query.model,
        year: query.year,
        owner_id: query.owner_id.map(UserId),
    };
    let vehicles = state.vehicles.list(&caller, &filter, page).await?;
    Ok(paging.respond::<_, VehicleBody>(vehicles))
}
