use actix_web::{HttpResponse, http::header::LOCATION, post, web::Data};
use sovd_services::maintenance::insights::NewInsight;

use super::InsightBody;
use crate::{
    extract::{Authorized, JsonBody},
    permissions::RecordInsights,
    problem::Problem,
    state::ApiState,
};

request_body! {
    /// A new insight.
    CreateInsightRequest as body into NewInsight {
        /// The component that fails: 1 to 200 characters.
        #[schema(min_length = 1, max_length = 200, example = "coolant pump")]
        component_name: String,
        /// How it fails: 1 to 2,000 characters.
        #[schema(
            min_length = 1,
            max_length = 2000,
            example = "It slows down after about 20,000 km."
        )]
        failure_pattern: String,
        /// The affected vehicles: 1 to 200 characters.
        #[schema(min_length = 1, max_length = 200, example = "Tesla Model 3 2023")]
        affected_batch: Option<String>,
        /// The recommended remedy: 1 to 2,000 characters.
        #[schema(min_length = 1, max_length = 2000, example = "Check the bearings.")]
        recommendation: Option<String>,
        /// Confidence from 0 to 1.
        #[schema(minimum = 0, maximum = 1, example = 0.75)]
        confidence_score: Option<f64>,
    }
}

/// Create an insight
#[utoipa::path(
    operation_id = "create_insight",
    tag = "insights",
    request_body = CreateInsightRequest,
    responses(
        (status = 201, description = "The insight", body = InsightBody,
         headers(("Location" = String))),
    ),
)]
#[post("")]
pub(crate) async fn create(
    caller: Authorized<RecordInsights>,
    state: Data<ApiState>,
    body: JsonBody<CreateInsightRequest>,
) -> Result<HttpResponse, Problem> {
    let insight = state.insights.create(&caller, body.0.into()).await?;
    let location = format!("/api/v1/insights/{}", insight.id);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(InsightBody::from(insight)))
}
