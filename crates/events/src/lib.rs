#![doc = include_str!("../README.md")]

mod bus;
mod hub;
mod local;
mod news;
mod redis;

pub use bus::{BusError, EventBus, Signal, Subscription};
pub use local::LocalBus;
pub use news::NewsSubscription;
pub use redis::RedisBus;
