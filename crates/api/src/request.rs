//! What every request goes through: an id, a log line, a net under panics, and HEAD.

mod head;
mod id;
mod log;
mod panic;

pub(crate) use head::head_as_get;
pub(crate) use id::{RequestId, identify};
pub(crate) use log::log_request;
pub(crate) use panic::catch_panics;
