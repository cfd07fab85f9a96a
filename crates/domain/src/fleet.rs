//! Vehicles and the events that dashboards receive about them.

pub mod events;
pub mod vehicles;
pub mod vin;
