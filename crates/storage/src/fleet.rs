//! Vehicles.

pub(crate) mod scope;
pub mod vehicles;
