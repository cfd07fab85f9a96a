use actix_web::{
    get,
    web::{Data, Json},
};
use serde::Serialize;
use sovd_services::maintenance::insights::Detector;
use utoipa::ToSchema;

use crate::{extract::Authorized, permissions::ReadInsights, problem::Problem, state::ApiState};

/// A rule that finds anomalies, and how often it was right.
#[derive(Serialize, ToSchema)]
#[schema(as = Detector)]
pub(crate) struct DetectorBody {
    /// The name of the rule.
    #[schema(example = "catalyst-efficiency")]
    rule: String,
    /// What kind of anomaly it finds; null when it is not in force any more.
    #[schema(example = "emissions")]
    anomaly_type: Option<String>,
    /// `Low`, `Medium`, `High` or `Critical`; null when it is not in force any more.
    #[schema(example = "Medium")]
    severity: Option<&'static str>,
    /// The part of the vehicle that it suspects; null when it is not in force any more.
    #[schema(example = "catalytic converter")]
    component_name: Option<String>,
    /// Whether it is in force.
    is_active: bool,
    /// How many anomalies it found.
    #[schema(example = 5)]
    detected: i64,
    /// How many of them no workshop has looked at.
    #[schema(example = 1)]
    open: i64,
    /// How many were there.
    #[schema(example = 3)]
    confirmed: i64,
    /// How many were none.
    #[schema(example = 1)]
    no_fault_found: i64,
    /// How many were something else.
    #[schema(example = 0)]
    other: i64,
    /// How many of them workshops have looked at.
    #[schema(example = 4)]
    count: i64,
    /// How much of what workshops have looked at was there, from 0 to 1; null while they have looked
    /// at nothing.
    #[schema(example = 0.75)]
    precision: Option<f64>,
}

/// See how often each rule was right
///
/// The rules in force in the order of their file, then those that once were, by name. What is stored is
/// counted: whoever deletes a vehicle or its owner deletes its anomalies too, and they count no more.
#[utoipa::path(
    operation_id = "list_detectors",
    tag = "insights",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Every rule", body = Vec<DetectorBody>),
    ),
)]
#[get("/detectors")]
pub(crate) async fn detectors(
    authorized: Authorized<ReadInsights>,
    state: Data<ApiState>,
) -> Result<Json<Vec<DetectorBody>>, Problem> {
    let detectors = state.insights.detectors(&authorized.caller).await?;
    Ok(Json(
        detectors.into_iter().map(DetectorBody::from).collect(),
    ))
}

impl From<Detector> for DetectorBody {
    fn from(detector: Detector) -> Self {
        let (count, precision) = (detector.count(), detector.precision());
        let is_active = detector.finds.is_some();
        let (anomaly_type, severity, component_name) = match detector.finds {
            Some(finds) => (
                Some(finds.anomaly_type),
                Some(finds.severity.as_str()),
                Some(finds.component),
            ),
            None => (None, None, None),
        };
        Self {
            rule: detector.rule,
            anomaly_type,
            severity,
            component_name,
            is_active,
            detected: detector.detected,
            open: detector.open,
            confirmed: detector.confirmed,
            no_fault_found: detector.no_fault_found,
            other: detector.other,
            count,
            precision,
        }
    }
}
