#![doc = include_str!("../README.md")]

pub mod agents;
pub mod anomalies;
pub mod audit;
pub mod blocked_attempts;
pub mod bookings;
pub mod commands;
pub mod detections;
pub mod diagnoses;
pub mod episodes;
pub mod idempotency;
pub mod insights;
pub mod migrations;
pub mod queue;
pub mod responses;
pub mod seeds;
pub mod service_accounts;
pub mod sessions;
pub mod signals;
pub mod suspensions;
pub mod unread_answers;
pub mod users;
pub mod vehicles;
pub mod verify;

mod connection;
mod database;
mod error;
mod like;
mod schema;
mod scope;

pub use connection::Connection;
pub use database::{Database, PoolSettings, Transaction};
pub use error::StorageError;
