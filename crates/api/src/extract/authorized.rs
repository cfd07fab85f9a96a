use std::{marker::PhantomData, ops::Deref};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use futures_util::future::LocalBoxFuture;
use sovd_services::{Caller, in_flight::Permit};

use super::{CallerKey, authorization::authorize, bearer_token, deferral::defer_errors};
use crate::{permissions::Required, problem::Problem, state::ApiState};

/// An authenticated caller with the permission `P`. It must be a handler's first argument, so that the
/// extractors after it defer their errors.
///
/// The request counts as in flight until the handler drops the value. A handler that responds with a
/// stream drops it once the stream is open.
pub(crate) struct Authorized<P: Required> {
    caller: Caller,
    _permit: Option<Permit<CallerKey>>,
    permission: PhantomData<P>,
}

impl<P: Required> FromRequest for Authorized<P> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        let authorized = defer_errors(&request);
        Box::pin(async move {
            let token = bearer_token(&request)?;
            let state = ApiState::of(&request)?;
            let in_flight = Some(&state.in_flight);
            let (caller, permit) =
                authorize(&request, state, token, P::PERMISSION, in_flight).await?;
            authorized.cancel();
            Ok(Self {
                caller,
                _permit: permit,
                permission: PhantomData,
            })
        })
    }
}

impl<P: Required> Deref for Authorized<P> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}
