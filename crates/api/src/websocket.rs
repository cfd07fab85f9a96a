//! What all WebSocket endpoints share: the handshake, the connection and its limits (RFC 6455).

pub(crate) mod close;
mod frame_limit;
pub(crate) mod handshake;
pub(crate) mod socket;
pub(crate) mod token;
