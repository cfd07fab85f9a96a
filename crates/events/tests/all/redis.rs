//! Behavior specific to Redis.

mod channel;
mod failure_counters;
mod outage;
mod prefix;
mod rates;
mod server;
mod tls;
