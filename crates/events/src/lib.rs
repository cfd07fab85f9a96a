#![doc = include_str!("../README.md")]

mod broadcast;
mod bus;
mod failure_counters;
mod fleet_event_hint;
mod hint;
mod hub;
mod local;
mod rates;
mod redis;

pub use broadcast::{Readings, Spread};
pub use bus::{BusError, EventBus, Signal, Subscription};
pub use failure_counters::{Attempts, LocalAttempts, Pace};
pub use fleet_event_hint::NewsHint;
pub use hint::Hint;
pub use local::LocalBus;
pub use rates::{Admission, SharedRates};
pub use redis::{RedisAttempts, RedisBus, RedisCertificates, RedisRates, RedisServer};
