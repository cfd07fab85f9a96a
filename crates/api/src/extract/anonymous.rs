use std::net::IpAddr;

use actix_web::{FromRequest, HttpRequest, dev::Payload, web::Data};
use futures_util::future::LocalBoxFuture;
use sovd_domain::UserId;
use sovd_services::{ServiceError, in_flight::Permit, network_of};

use super::client_address::client_address;
use crate::{problem::Problem, state::ApiState};

/// Whose requests in flight are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallerKey {
    /// A user or a service account.
    User(UserId),
    /// The address of a client that has not logged in.
    Address(IpAddr),
}

/// A request in flight of a client that has no token yet. It counts until the handler drops it.
pub(crate) struct Anonymous {
    _permit: Option<Permit<CallerKey>>,
}

impl FromRequest for Anonymous {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let state = request.app_data::<Data<ApiState>>().cloned();
        let key = client_address(request).map(|address| CallerKey::Address(network_of(address)));
        Box::pin(async move {
            let state =
                state.ok_or_else(|| ServiceError::Internal("the API has no state".into()))?;
            let permit = match key {
                Some(key) => Some(state.in_flight.admit(key).await?),
                None => None,
            };
            Ok(Self { _permit: permit })
        })
    }
}
