//! Vehicles, their connection state, and fleet events.

pub mod events;
pub mod scope;
pub mod vehicles;
pub mod vin;
