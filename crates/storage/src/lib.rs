#![doc = include_str!("../README.md")]

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
mod like;
mod schema;

pub use connection::Connection;
pub use database::{Database, PoolSettings, Transaction};
pub use error::{Conflict, StorageError};
