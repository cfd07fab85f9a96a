//! Middleware for every request.

mod broken_body;
mod head;
mod id;
mod log;
mod panic;
mod refusal;
mod secure;
mod unread;

pub(crate) use broken_body::refuse_broken_body;
pub(crate) use head::head_as_get;
pub(crate) use id::{RequestId, identify};
pub(crate) use log::log_request;
pub(crate) use panic::catch_panics;
pub(crate) use refusal::{KnownCaller, audit_refusal, audit_refusals};
pub(crate) use secure::{HttpsOnly, secure};
pub(crate) use unread::close_after_unread_body;
