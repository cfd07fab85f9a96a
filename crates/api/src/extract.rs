//! Extractors. Their errors are [`Problem`](crate::problem::Problem)s.

mod accepted;
mod anonymous;
mod authorization;
mod authorized;
mod client_address;
mod created;
mod deferral;
mod headers;
mod json_body;
mod list_query;
mod media;
mod origin;
mod path_id;
mod query_params;
mod unique_fields;

pub(crate) use anonymous::Anonymous;
pub use anonymous::CallerKey;
pub(crate) use authorization::{authorize, bearer_token};
pub(crate) use authorized::Authorized;
pub(crate) use client_address::TrustedProxies;
pub(crate) use created::created;
pub(crate) use headers::{Keyed, LastEventId};
pub(crate) use json_body::{JsonBody, OptionalJsonBody};
pub(crate) use list_query::{ListQuery, Paged, list_query};
pub(crate) use origin::origin_of;
pub(crate) use path_id::PathId;
pub(crate) use query_params::{QueryParams, moment};
