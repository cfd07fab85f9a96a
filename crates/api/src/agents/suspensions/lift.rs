use actix_web::{HttpResponse, delete, web::Data};
use sovd_domain::SuspensionId;

use crate::{
    extract::{Authorized, PathId},
    permissions::ManageAgents,
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// Lift a suspension
///
/// The agent may go on at once, and what it tried in vain before does not count any more. For admins,
/// never for machines.
#[utoipa::path(
    operation_id = "lift_agent_suspension",
    tag = "agents",
    security(("bearer" = [])),
    params(("suspension_id" = Uuid, Path, description = "The suspension")),
    responses(
        (status = 204, description = "It is lifted"),
        (status = 409, description = "`conflict`: it is lifted already",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[delete("/{suspension_id}")]
pub(crate) async fn lift(
    authorized: Authorized<ManageAgents>,
    state: Data<ApiState>,
    suspension_id: PathId<SuspensionId>,
) -> Result<HttpResponse, Problem> {
    state
        .agents
        .lift(&authorized.caller, suspension_id.0)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
