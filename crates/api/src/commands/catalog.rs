use actix_web::{get, web};
use serde_json::Value;
use sovd_domain::CommandSpec;

use crate::{extract::Authorized, permissions::SubmitCommands, problem::Problem, state::ApiState};

response_body! {
    /// A command of the catalog, with the schema of its parameters.
    #[schema(as = CatalogEntry)]
    CatalogEntryBody from spec: &CommandSpec {
        /// Its name in requests.
        #[schema(example = "ReadDTC")]
        name: &'static str,
        /// Its display name.
        title: &'static str,
        /// A one-sentence description.
        description: &'static str,
        /// Its possible effect on the vehicle: `read`, `clear`, `write` or `actuate`.
        #[schema(example = "read")]
        risk: &'static str = spec.risk.as_str(),
        /// Whether sending it twice has the same effect as sending it once.
        idempotent: bool,
        /// The schema of its parameters (JSON Schema 2020-12).
        #[schema(value_type = Object)]
        params_schema: Value = spec.params_schema.document().clone(),
        /// The command that reads the faults before and after this command erases them. Null if it erases
        /// none; `skip_evidence` is invalid then.
        #[schema(example = json!(null))]
        evidence: Option<&'static str> = spec.evidence.map(|evidence| evidence.command_name),
        /// The roles that may submit it.
        allowed_roles: Vec<&'static str> =
            spec.allowed_roles.iter().map(|role| role.as_str()).collect(),
    }
}

/// List the command catalog
#[utoipa::path(
    operation_id = "list_catalog",
    tag = "commands",
    responses(
        (status = 200, description = "All commands, sorted by name", body = Vec<CatalogEntryBody>),
    ),
)]
#[get("/catalog")]
pub(crate) async fn catalog(
    _authorized: Authorized<SubmitCommands>,
    state: web::Data<ApiState>,
) -> Result<web::Json<Vec<CatalogEntryBody>>, Problem> {
    let entries = state.commands.catalog().iter();
    Ok(web::Json(entries.map(CatalogEntryBody::from).collect()))
}
