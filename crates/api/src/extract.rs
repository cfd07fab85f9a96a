//! Taking requests apart. Every extractor answers its errors as problems.

mod accepted;
mod anonymous;
mod authorized;
mod client_address;
mod gate;
mod idempotency;
mod json_body;
mod last_event_id;
mod media;
mod origin;
mod page_headers;
mod path_id;
mod query_params;
mod unambiguous;

pub(crate) use anonymous::Anonymous;
pub use anonymous::CallerKey;
pub(crate) use authorized::{Authorized, bearer_token};
pub(crate) use client_address::TrustedProxies;
pub(crate) use idempotency::Keyed;
pub(crate) use json_body::{JsonBody, OptionalJsonBody};
pub(crate) use last_event_id::LastEventId;
pub(crate) use origin::origin_of;
pub(crate) use page_headers::page_of;
pub(crate) use path_id::PathId;
pub(crate) use query_params::{QueryParams, moment, page};
