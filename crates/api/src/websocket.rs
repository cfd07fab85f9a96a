//! `/ws`

pub(crate) mod events;
pub(crate) mod responses;

mod socket;
mod token;
