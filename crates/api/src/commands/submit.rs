use std::time::Duration;

use actix_web::{HttpResponse, http::header::LOCATION, post, web::Data};
use serde::Deserialize;
use serde_json::{Map, Value};
use sovd_domain::VehicleId;
use sovd_services::commands::Submission;
use utoipa::ToSchema;
use uuid::Uuid;

use super::CommandBody;
use crate::{
    extract::{Authorized, JsonBody},
    permissions::SubmitCommands,
    problem::{Problem, ProblemBody},
    state::ApiState,
};

/// A command to send.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubmitRequest {
    /// The id of a vehicle, a UUID.
    vehicle_id: Uuid,
    /// The name of a command in the catalogue.
    #[schema(min_length = 1, max_length = 100, example = "ReadDTC")]
    command_name: String,
    /// An object that meets the catalogue's schema for the command.
    #[schema(value_type = Object, example = json!({"ecuAddress": "0x10"}))]
    command_params: Map<String, Value>,
    /// How long it may wait to be sent, in seconds: 1 to 604800 (7 days). Left out, a reading
    /// waits an hour and anything else five minutes.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 604_800)]
    expires_in_seconds: Option<u32>,
    /// `true` or `false`: whether a command that does more than read may wait for a vehicle that is not connected.
    #[serde(default)]
    queue_if_offline: bool,
    /// `true` or `false`: whether faults are cleared although they could not be read and stored before.
    #[serde(default)]
    skip_evidence: bool,
}

/// Send a command
///
/// The answer means that the command is safely queued. Watch it on `stream_url`.
#[utoipa::path(
    operation_id = "submit_command",
    tag = "commands",
    security(("bearer" = [])),
    request_body = SubmitRequest,
    responses(
        (status = 201, description = "The command is queued", body = CommandBody,
         headers(("Location" = String))),
        (status = 403, description = "`forbidden`: not a command for this role",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is no such vehicle",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`vehicle_offline`: and the command does more than read",
         body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[post("")]
pub(crate) async fn submit(
    authorized: Authorized<SubmitCommands>,
    state: Data<ApiState>,
    body: JsonBody<SubmitRequest>,
) -> Result<HttpResponse, Problem> {
    let submission = Submission::from(body.0);
    let submitted = state.commands.submit(&authorized.caller, submission).await?;
    let location = format!("/api/v1/commands/{}", submitted.command.command_id);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(CommandBody::from(submitted.command)))
}

impl From<SubmitRequest> for Submission {
    fn from(request: SubmitRequest) -> Self {
        Self {
            vehicle_id: VehicleId(request.vehicle_id),
            command_name: request.command_name,
            command_params: Value::Object(request.command_params),
            expires_in: request
                .expires_in_seconds
                .map(u64::from)
                .map(Duration::from_secs),
            queue_if_offline: request.queue_if_offline,
            skip_evidence: request.skip_evidence,
            idempotency_key: None,
        }
    }
}
