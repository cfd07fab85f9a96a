//! Endpoints of vehicles and the stream of fleet events.

pub(crate) mod vehicles;
pub(crate) mod websocket;
