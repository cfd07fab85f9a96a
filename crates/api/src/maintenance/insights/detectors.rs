use actix_web::{get, web};
use sovd_services::maintenance::insights::Detector;

use crate::{extract::Authorized, permissions::ReadInsights, problem::Problem, state::ApiState};

response_body! {
    /// A detection rule and the outcomes of its anomalies.
    #[schema(as = Detector)]
    DetectorBody from detector: Detector {
        /// The name of the rule.
        #[schema(example = "catalyst-efficiency")]
        rule: String = detector.rule.clone(),
        /// The kind of anomaly that it detects; null if the rule is no longer active.
        #[schema(example = "emissions")]
        anomaly_type: Option<String> =
            detector.active_rule.as_ref().map(|rule| rule.anomaly_type.clone()),
        /// `Low`, `Medium`, `High` or `Critical`; null if the rule is no longer active.
        #[schema(example = "Medium")]
        severity: Option<&'static str> =
            detector.active_rule.as_ref().map(|rule| rule.severity.as_str()),
        /// The suspected component; null if the rule is no longer active.
        #[schema(example = "catalytic converter")]
        component_name: Option<String> =
            detector.active_rule.as_ref().map(|rule| rule.component.clone()),
        /// Whether the rule is active.
        is_active: bool = detector.active_rule.is_some(),
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
        count: i64 = detector.count(),
        /// Share of confirmed anomalies among the closed ones, from 0 to 1; null if none is closed.
        #[schema(example = 0.75)]
        precision: Option<f64> = detector.precision(),
    }
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
    let detectors = state.insights.detectors(&caller).await?.into_iter();
    Ok(web::Json(detectors.map(DetectorBody::from).collect()))
}
