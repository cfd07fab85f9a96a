use actix_web::{
    get,
    web::{Data, Json},
};
use serde::Serialize;
use serde_json::Value;
use sovd_domain::CommandSpec;
use utoipa::ToSchema;

use crate::{extract::Authorized, permissions::SubmitCommands, problem::Problem, state::ApiState};

/// Everything needed to draw a form for a command.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogEntry)]
pub(crate) struct CatalogEntryBody {
    /// Its name on the wire.
    #[schema(example = "ReadDTC")]
    name: &'static str,
    /// Its name for people.
    title: &'static str,
    /// What it does.
    description: &'static str,
    /// `read`, `clear`, `write` or `actuate`.
    #[schema(example = "read")]
    risk: &'static str,
    /// Whether sending it twice does no more than sending it once.
    idempotent: bool,
    /// What its parameters look like (JSON Schema 2020-12).
    #[schema(value_type = Object)]
    params_schema: Value,
    /// The reading that secures what the command erases, and shows afterwards what is left; null
    /// when it erases nothing, and `skip_evidence` makes no sense.
    #[schema(example = json!(null))]
    evidence: Option<&'static str>,
    /// Who may send it.
    allowed_roles: Vec<&'static str>,
}

/// List the commands that can be sent
#[utoipa::path(
    operation_id = "list_catalog",
    tag = "commands",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Every command", body = Vec<CatalogEntryBody>),
    ),
)]
#[get("/catalog")]
pub(crate) async fn catalog(
    _authorized: Authorized<SubmitCommands>,
    state: Data<ApiState>,
) -> Result<Json<Vec<CatalogEntryBody>>, Problem> {
    Ok(Json(
        state
            .commands
            .catalog()
            .iter()
            .map(CatalogEntryBody::from)
            .collect(),
    ))
}

impl From<&CommandSpec> for CatalogEntryBody {
    fn from(spec: &CommandSpec) -> Self {
        Self {
            name: spec.name,
            title: spec.title,
            description: spec.description,
            risk: spec.risk.as_str(),
            idempotent: spec.idempotent,
            params_schema: spec.params_schema.document().clone(),
            evidence: spec.evidence.map(|evidence| evidence.command_name),
            allowed_roles: spec
                .allowed_roles
                .iter()
                .map(|role| role.as_str())
                .collect(),
        }
    }
}
