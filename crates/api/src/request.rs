//! What every request goes through: an id, a log line, and a net under panics.

mod id;
mod log;
mod panic;

pub(crate) use id::{RequestId, identify};
pub(crate) use log::log_request;
pub(crate) use panic::catch_panics;
