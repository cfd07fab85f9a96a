use actix_web::{HttpRequest, http::header::USER_AGENT};
use sovd_domain::audit::Origin;

use super::client_address::client_address;
use crate::request::RequestId;

/// The longest `User-Agent` that is kept, in characters.
const AGENT_LENGTH: usize = 512;

/// Returns the origin of a request for the audit trail.
pub(crate) fn origin_of(request: &HttpRequest) -> Origin {
    let agent = request
        .headers()
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    Origin {
        ip_address: client_address(request),
        user_agent: agent.map(|agent| agent.chars().take(AGENT_LENGTH).collect()),
        request_id: Some(RequestId::of(request).to_string()),
    }
}
