//! Vehicles, and the restriction of queries to a set of them.

pub(crate) mod scope;
pub mod vehicles;
