use std::{future::Future, marker::PhantomData, pin::Pin};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header::AUTHORIZATION, web::Data,
};
use sovd_services::{AuthFailure, Caller, ServiceError, in_flight::Permit};

use super::{CallerKey, gate::close_gate, origin_of};
use crate::{
    permissions::Required,
    problem::{Code, Problem},
    request::KnownCaller,
    state::ApiState,
};

/// A caller who is known and has the permission `P`. Among a handler's arguments it comes before what
/// the caller sent, so that nobody learns what is wrong with a request that they may not send.
///
/// It counts as a request in flight until the handler drops it. A handler that answers with a stream
/// returns, and so drops it, when the stream has opened.
pub(crate) struct Authorized<P: Required> {
    pub(crate) caller: Caller,
    _permit: Permit<CallerKey>,
    permission: PhantomData<P>,
}

impl<P: Required> FromRequest for Authorized<P> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        let gate = close_gate(&request);
        Box::pin(async move {
            let token = bearer_token(&request)?;
            let (caller, permit) = authorize::<P>(&request, token).await?;
            gate.cancel();
            Ok(Self {
                caller,
                _permit: permit,
                permission: PhantomData,
            })
        })
    }
}

async fn authorize<P: Required>(
    request: &HttpRequest,
    token: Option<&str>,
) -> Result<(Caller, Permit<CallerKey>), ServiceError> {
    let state = request
        .app_data::<Data<ApiState>>()
        .ok_or_else(|| ServiceError::Internal("the API has no state".into()))?;
    let token = token.ok_or(AuthFailure::MissingToken)?;
    let mut caller = state.auth.authenticate(token, origin_of(request)).await?;
    let known = KnownCaller(caller.user.user_id);
    request.extensions_mut().insert(known);
    let key = CallerKey::User(caller.user.user_id);
    let permit = state.in_flight.admit(key).await?;
    let (method, path) = (request.method().as_str(), request.path());
    let admitting = state.agents.admit(&mut caller, P::PERMISSION, method, path);
    admitting.await?;
    Ok((caller, permit))
}

/// The token of the `Authorization` header (RFC 6750), if there is one.
///
/// # Errors
///
/// `malformed_request` when the header is sent more than once: a proxy in front may have judged the
/// other one.
pub(crate) fn bearer_token(request: &HttpRequest) -> Result<Option<&str>, Problem> {
    let mut values = request.headers().get_all(AUTHORIZATION);
    let value = values.next();
    if values.next().is_some() {
        let detail = "Authorization must be sent once";
        return Err(Problem::new(Code::MalformedRequest, detail));
    }
    Ok(value.and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }))
}
