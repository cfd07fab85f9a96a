use actix_web::{get, web};
use serde::Serialize;
use sovd_services::maintenance::insights::Detector;
use utoipa::ToSchema;

use crate::{extract::Authorized, permissions::ReadInsights, problem::Problem, state::ApiState};

/// A detection rule and the outcomes of its anomalies.
#[derive(Serialize, ToSchema)]
#[schema(as = Detector)]
pub(crate) struct DetectorBody {
    /// The name of the rule.
    #[schema(example = "catalyst-efficiency")]
    rule: String,
    /// The kind of anomaly that it detects; null if the rule is no longer active.
    #[schema(example = "emissions")]
    anomaly_type: Option<String>,
    /// `Low`, `Medium`, `High` or `Critical`; null if the rule is no longer active.
    #[schema(example = "Medium")]
    severity: Option<&'static str>,
    /// The suspected component; null if the rule is no longer active.
    #[schema(example = "catalytic converter")]
    component_name: Option<String>,
    /// Whether the rule is active.
    is_active: bool,
    /// Number of detected anomalies.
    #[schema(example = 5)]
    detected: i64,
    /// Number of open anomalies.
    #[schema(example = 1)]
    open: i64,
    /// Number of anomalies closed as `confirmed`.
    #[schema(example = 3)]
    confirmed: i64,
    /// Number of anomalies closed as `no_fault_found`.
    #[schema(example = 1)]
    no_fault_found: i64,
    /// Number of anomalies closed as `other`.
    #[schema(example = 0)]
    other: i64,
    /// Number of closed anomalies.
    #[schema(example = 4)]
    count: i64,
    /// Share of confirmed anomalies among the closed ones, from 0 to 1; null if none is closed.
    #[schema(example = 0.75)]
    precision: Option<f64>,
}

/// List detection rules with their precision
///
/// Active rules in file order, then former rules by name. Deleting a vehicle or its owner deletes its
/// anomalies, which then no longer count.
#[utoipa::path(
    operation_id = "list_detectors",
    tag = "insights",
    responses((status = 200, description = "Every rule", body = Vec<DetectorBody>)),
)]
#[get("/detectors")]
pub(crate) async fn detectors(
    caller: Authorized<ReadInsights>,
    state: web::Data<ApiState>,
) -> Result<web::Json<Vec<DetectorBody>>, Problem> {
    let detectors = state.insights.detectors(&caller).await?;
    Ok(web::Json(
        detectors.into_iter().map(DetectorBody::from).collect(),
    ))
}

impl From<Detector> for DetectorBody {
    fn from(detector: Detector) -> Self {
        let (count, precision) = (detector.count(), detector.precision());
        let is_active = detector.active_rule.is_some();
        let (anomaly_type, severity, component_name) = match detector.active_rule {
            Some(rule) => (
                Some(rule.anomaly_type),
                Some(rule.severity.as_str()),
                Some(rule.component),
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
