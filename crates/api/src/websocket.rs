//! `/ws`

pub(crate) mod responses;

mod socket;
mod token;
