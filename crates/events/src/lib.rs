#![doc = include_str!("../README.md")]

mod attempts;
mod bus;
mod hub;
mod local;
mod rates;
mod redis;
mod stand;

pub use attempts::{Attempts, LocalAttempts, Pace};
pub use bus::{BusError, EventBus, Signal, Subscription};
pub use local::LocalBus;
pub use rates::{Admission, SharedRates};
pub use redis::{RedisAttempts, RedisBus, RedisCertificates, RedisRates, RedisServer};
pub use stand::{Readings, Spread};
