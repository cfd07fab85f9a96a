//! Handshake, connection and limits of WebSocket endpoints (RFC 6455).

pub(crate) mod close;
mod frame_limit;
pub(crate) mod handshake;
pub(crate) mod socket;
pub(crate) mod token;
