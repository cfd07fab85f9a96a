#![doc = include_str!("../README.md")]
#![expect(
    clippy::missing_errors_doc,
    reason = "`StorageError` documents the errors that every function returns"
)]

pub mod agents;
pub mod audit;
pub mod commands;
pub mod fleet;
pub mod identity;
pub mod maintenance;
pub mod migrations;
pub mod notifications;
pub mod seeds;
pub mod text;
pub mod verify;

mod connection;
mod database;
mod error;
mod filters;
mod like;
mod prepared;
mod rows;
mod schema;
mod statement;

pub use connection::Connection;
pub use database::{Database, PoolSettings, Transaction};
pub use error::{Conflict, Result, StorageError};
