#![doc = include_str!("../README.md")]

#[macro_use]
mod bodies;

mod agents;
mod audit;
mod commands;
mod connection;
mod extract;
mod fleet;
mod health;
mod identity;
mod maintenance;
mod open_streams;
mod openapi;
mod permissions;
mod problem;
mod request;
mod routes;
mod server;
mod sse;
mod state;
mod websocket;

#[cfg(test)]
mod schema_literals;

pub use extract::CallerKey;
pub use open_streams::OpenStreams;
pub use openapi::document;
pub use server::{Server, ServerError, ServerSettings};
pub use state::{ApiState, SocketSettings};
