#![doc = include_str!("../README.md")]

mod account;
mod cluster;
mod command;
mod database_url;
mod databases;
mod error;
mod find;
mod install;
mod instance;
mod maintenance;
mod owner_tag;
mod postgres;
mod redis;
mod server;
mod stack;
mod state_directory;
mod sweep;
mod test_database;
mod watchdog;

pub use error::StackError;
pub use find::{PostgresBinaries, RedisBinary, SearchPath, Version};
pub use install::{Installed, install};
pub use postgres::{Frozen, Postgres, PostgresOptions};
pub use redis::Redis;
pub use stack::{Stack, StackOptions};
pub use test_database::TestDatabase;
