//! What every request goes through: an id, a log line, a net under panics, HEAD, and what
//! browsers are told to beware of.

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
pub(crate) use refusal::{KnownCaller, audit_refusals, audited_path, is_refusal};
pub(crate) use secure::{HttpsOnly, secure};
pub(crate) use unread::end_unread;
