#![doc = include_str!("../README.md")]

mod agent_suspensions;
mod anomalies;
mod audit_logs;
mod auth;
mod bookings;
mod commands;
mod connection;
mod docs;
mod extract;
mod health;
mod insights;
mod open_streams;
mod permissions;
mod problem;
mod request;
mod routes;
mod server;
mod service_accounts;
mod sse;
mod state;
mod ueba_logs;
mod users;
mod vehicles;
mod websocket;

pub use docs::document;
pub use extract::CallerKey;
pub use open_streams::OpenStreams;
pub use server::{Server, ServerError, ServerSettings};
pub use state::{ApiState, SocketSettings};
