//! What only the bus over Redis does.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "redis/attempts.rs"]
mod attempts;
#[path = "redis/channel.rs"]
mod channel;
#[path = "redis/outage.rs"]
mod outage;
#[path = "redis/prefix.rs"]
mod prefix;
#[path = "redis/rates.rs"]
mod rates;
#[path = "redis/server.rs"]
mod server;
mod signals;
#[path = "redis/tls.rs"]
mod tls;
