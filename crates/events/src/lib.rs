#![doc = include_str!("../README.md")]

mod bus;
mod hub;
mod local;
mod redis;
mod stand;

pub use bus::{BusError, EventBus, Signal, Subscription};
pub use local::LocalBus;
pub use redis::RedisBus;
pub use stand::{Readings, Spread};
