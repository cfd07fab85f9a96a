use std::net::IpAddr;

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use futures_util::future::LocalBoxFuture;
use sovd_domain::UserId;
use sovd_services::{in_flight::Permit, network_of};

use super::client_address::client_address;
use crate::{problem::Problem, state::ApiState};

/// The caller to whom a request in flight counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallerKey {
    /// A user or a service account.
    User(UserId),
    /// The address of an unauthenticated client.
    Address(IpAddr),
}

/// A request in flight from an unauthenticated client. It counts until the handler drops it.
pub(crate) struct Anonymous {
    _permit: Option<Permit<CallerKey>>,
}

impl FromRequest for Anonymous {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let state = ApiState::of(request).cloned();
        let key = client_address(request).map(|address| CallerKey::Address(network_of(address)));
        Box::pin(async move {
            let permit = match key {
                Some(key) => Some(state?.in_flight.admit(key).await?),
                None => None,
            };
            Ok(Self { _permit: permit })
        })
    }
}
