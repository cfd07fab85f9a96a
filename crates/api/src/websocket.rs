//! `/ws`

pub(crate) mod events;
mod frame_limit;
pub(crate) mod responses;

mod socket;
mod token;
