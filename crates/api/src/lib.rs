#![doc = include_str!("../README.md")]

mod auth;
mod commands;
mod docs;
mod extract;
mod health;
mod permissions;
mod problem;
mod request;
mod routes;
mod server;
mod state;
mod vehicles;
mod websocket;

pub use docs::document;
pub use server::{Server, ServerError, ServerSettings};
pub use state::{ApiState, SocketSettings};
