//! Endpoints of vehicles, and the WebSocket of fleet events.

pub(crate) mod vehicles;
pub(crate) mod websocket;
