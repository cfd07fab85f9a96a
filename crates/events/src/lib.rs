#![doc = include_str!("../README.md")]

mod attempts;
mod bus;
mod hint;
mod hub;
mod local;
mod news_hint;
mod rates;
mod redis;
mod stand;

pub use attempts::{Attempts, LocalAttempts, Pace};
pub use bus::{BusError, EventBus, Signal, Subscription};
pub use hint::Hint;
pub use local::LocalBus;
pub use news_hint::NewsHint;
pub use rates::{Admission, SharedRates};
pub use redis::{RedisAttempts, RedisBus, RedisCertificates, RedisRates, RedisServer};
pub use stand::{Readings, Spread};
