//! `/health`

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::ApiState;

/// Liveness of the process.
#[derive(Serialize, ToSchema)]
#[schema(as = Liveness)]
pub(crate) struct LivenessBody {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Readiness of the process and its dependencies.
#[derive(Serialize, ToSchema)]
#[schema(as = Readiness)]
pub(crate) struct ReadinessBody {
    /// `ok`; `degraded` without Redis, which delays events; `unavailable` without the database.
    #[schema(example = "ok")]
    status: &'static str,
    /// `ok` or `unavailable`.
    #[schema(example = "ok")]
    database: &'static str,
    /// `ok` or `unavailable`; `ok` if Redis is not configured.
    #[schema(example = "ok")]
    redis: &'static str,
}

/// Check liveness
#[utoipa::path(
    operation_id = "get_liveness",
    tag = "health",
    security(()),
    responses((status = 200, description = "The process is running", body = LivenessBody)),
)]
#[get("/health/live")]
pub(crate) async fn live() -> web::Json<LivenessBody> {
    web::Json(LivenessBody { status: "ok" })
}

/// Check liveness (alias)
///
/// The same as `/health/live`.
#[utoipa::path(
    operation_id = "get_health",
    tag = "health",
    security(()),
    responses((status = 200, description = "The process is running", body = LivenessBody)),
)]
#[get("/health")]
pub(crate) async fn health() -> web::Json<LivenessBody> {
    web::Json(LivenessBody { status: "ok" })
}

/// Check readiness
#[utoipa::path(
    operation_id = "get_readiness",
    tag = "health",
    security(()),
    responses(
        (status = 200, description = "The process can serve requests; events are late if degraded",
         body = ReadinessBody),
        (status = 503, description = "The database is unavailable", body = ReadinessBody),
    ),
)]
#[get("/health/ready")]
pub(crate) async fn ready(state: web::Data<ApiState>) -> HttpResponse {
    let readiness = state.health.readiness().await;
    let status = |is_available| if is_available { "ok" } else { "unavailable" };
    let body = ReadinessBody {
        status: match (readiness.database, readiness.bus) {
            (true, true) => "ok",
            (true, false) => "degraded",
            (false, _) => "unavailable",
        },
        database: status(readiness.database),
        redis: status(readiness.bus),
    };
    if readiness.database {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}
