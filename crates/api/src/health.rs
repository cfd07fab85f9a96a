//! `/health`

use actix_web::{
    HttpResponse, get,
    web::{Data, Json},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::ApiState;

/// That the process lives.
#[derive(Serialize, ToSchema)]
#[schema(as = Liveness)]
pub(crate) struct LivenessBody {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Which parts are there.
#[derive(Serialize, ToSchema)]
#[schema(as = Readiness)]
pub(crate) struct ReadinessBody {
    /// `ok`; `degraded` without Redis, when events are late; `unavailable` without the database.
    #[schema(example = "ok")]
    status: &'static str,
    /// `ok` or `unavailable`.
    #[schema(example = "ok")]
    database: &'static str,
    /// `ok` or `unavailable`; `ok` when none is configured, because none is needed.
    #[schema(example = "ok")]
    redis: &'static str,
}

/// See whether the process lives
#[utoipa::path(
    operation_id = "get_liveness",
    tag = "health",
    responses((status = 200, description = "It does", body = LivenessBody)),
)]
#[get("/health/live")]
pub(crate) async fn live() -> Json<LivenessBody> {
    Json(LivenessBody { status: "ok" })
}

/// See whether the process lives
///
/// The same as `/health/live`.
#[utoipa::path(
    operation_id = "get_health",
    tag = "health",
    responses((status = 200, description = "It does", body = LivenessBody)),
)]
#[get("/health")]
pub(crate) async fn health() -> Json<LivenessBody> {
    Json(LivenessBody { status: "ok" })
}

/// See whether the process can work
#[utoipa::path(
    operation_id = "get_readiness",
    tag = "health",
    responses(
        (status = 200, description = "It can, with late events when degraded",
         body = ReadinessBody),
        (status = 503, description = "The database is away", body = ReadinessBody),
    ),
)]
#[get("/health/ready")]
pub(crate) async fn ready(state: Data<ApiState>) -> HttpResponse {
    let readiness = state.health.readiness().await;
    let word = |is_there| if is_there { "ok" } else { "unavailable" };
    let body = ReadinessBody {
        status: match (readiness.database, readiness.bus) {
            (true, true) => "ok",
            (true, false) => "degraded",
            (false, _) => "unavailable",
        },
        database: word(readiness.database),
        redis: word(readiness.bus),
    };
    if readiness.database {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}
