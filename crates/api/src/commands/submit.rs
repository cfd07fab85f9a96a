use std::time::Duration;

use actix_web::{HttpResponse, http::header::LOCATION, post, web::Data};
use serde::Deserialize;
use serde_json::{Map, Value};
use sovd_domain::{IdempotencyKey, VehicleId};
use sovd_services::commands::Submission;
use utoipa::ToSchema;
use uuid::Uuid;

use super::CommandBody;
use crate::{
    extract::{Authorized, JsonBody, Keyed},
    permissions::SubmitCommands,
    problem::Problem,
    state::ApiState,
};

/// A command to submit.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubmitRequest {
    /// The id of the target vehicle, a UUID.
    vehicle_id: Uuid,
    /// The name of a command in the catalog.
    #[schema(min_length = 1, max_length = 100, example = "ReadDTC")]
    command_name: String,
    /// The parameters, which must match the schema in the catalog.
    #[schema(value_type = Object, example = json!({"ecuAddress": "0x10"}))]
    command_params: Map<String, Value>,
    /// The time until it expires unsent, in seconds: 1 to 604800 (7 days). Defaults to one hour for a
    /// command that only reads and to five minutes for any other.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 604_800)]
    expires_in_seconds: Option<u32>,
    /// `true` or `false`: whether a command that does more than read may be queued for a disconnected vehicle.
    #[serde(default)]
    queue_if_offline: bool,
    /// `true` or `false`: whether faults are cleared without reading and storing them first.
    #[serde(default)]
    skip_evidence: bool,
}

/// Submit a command
///
/// The response confirms that the command is durably queued. Follow it on `stream_url`. A client that did
/// not receive the response repeats the request with the same `Idempotency-Key` and gets the first response
/// instead of a second command.
#[utoipa::path(
    operation_id = "submit_command",
    tag = "commands",
    params(
        ("Idempotency-Key" = Option<String>, Header,
         description = "1 to 255 visible ASCII characters that identify this request for 24 hours",
         min_length = 1, max_length = 255, pattern = "^[!-~]{1,255}$",
         example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ),
    request_body = SubmitRequest,
    responses(
        (status = 201, description = "The command is queued", body = CommandBody,
         headers(
             ("Location" = String),
             ("Idempotent-Replayed" = String,
              description = "`true` if an earlier request with the same key created the command"),
         )),
        (status = 403, description = "`forbidden`: the role does not permit the command, or the agent \
         lacks the permission or is suspended"),
        (status = 404, description = "`not_found`: no such vehicle"),
        (status = 409, description = "`vehicle_offline`: the vehicle is disconnected and the command does more than read; \
            `idempotency_mismatch`: the key was used for a different request; `queue_full`: the queue of the \
            vehicle has reached its limit"),
        (status = 429, description = "`rate_limited`: too many requests or commands, or the queued \
            commands of the caller have reached their limit; `Retry-After` contains the delay in seconds"),
    ),
)]
#[post("")]
pub(crate) async fn submit(
    caller: Authorized<SubmitCommands>,
    state: Data<ApiState>,
    keyed: Keyed,
    body: JsonBody<SubmitRequest>,
) -> Result<HttpResponse, Problem> {
    let submission = body.0.keyed(keyed.0);
    let submitted = state.commands.submit(&caller, submission).await?;
    let location = format!("/api/v1/commands/{}", submitted.command.command_id);
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, location));
    if submitted.is_replay {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    Ok(response.json(CommandBody::from(submitted.command)))
}

impl SubmitRequest {
    fn keyed(self, idempotency_key: Option<IdempotencyKey>) -> Submission {
        Submission {
            vehicle_id: VehicleId(self.vehicle_id),
            command_name: self.command_name,
            command_params: Value::Object(self.command_params),
            expires_in: self
                .expires_in_seconds
                .map(u64::from)
                .map(Duration::from_secs),
            queue_if_offline: self.queue_if_offline,
            skip_evidence: self.skip_evidence,
            idempotency_key,
        }
    }
}
