#![doc = include_str!("../README.md")]

mod attempts;
mod bus;
mod hub;
mod local;
mod redis;
mod stand;

pub use attempts::{Attempts, LocalAttempts, Pace};
pub use bus::{BusError, EventBus, Signal, Subscription};
pub use local::LocalBus;
pub use redis::{RedisAttempts, RedisBus, RedisCertificates, RedisServer};
pub use stand::{Readings, Spread};
