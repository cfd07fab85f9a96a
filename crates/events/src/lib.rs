#![doc = include_str!("../README.md")]

mod broadcast;
mod bus;
mod failure_counters;
mod fleet_event_hint;
mod hint;
mod local;
mod rates;
mod redis;
mod subscriptions;

pub use broadcast::{BroadcastReceiver, Broadcastable};
pub use bus::{BusError, CommandSignal, EventBus, Message, Subscription};
pub use failure_counters::{BackoffPolicy, FailureCounters, LocalFailureCounters};
pub use fleet_event_hint::FleetEventHint;
pub use hint::Hint;
pub use local::LocalBus;
pub use rates::{Admission, SharedRates};
pub use redis::{RedisBus, RedisCertificates, RedisFailureCounters, RedisRates, RedisServer};
