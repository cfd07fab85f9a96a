use actix_web::{HttpRequest, http::header::USER_AGENT};
use sovd_domain::audit::Origin;

use crate::request::RequestId;

/// As much of a client's name for itself as is kept, in characters.
const AGENT_LENGTH: usize = 512;

/// Where a request came from. The address is the socket's: a header could say anything.
pub(crate) fn origin_of(request: &HttpRequest) -> Origin {
    let agent = request
        .headers()
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    Origin {
        ip_address: request.peer_addr().map(|peer| peer.ip()),
        user_agent: agent.map(|agent| agent.chars().take(AGENT_LENGTH).collect()),
        request_id: Some(RequestId::of(request).to_string()),
    }
}
