#![doc = include_str!("../README.md")]
#![expect(
    clippy::missing_errors_doc,
    reason = "all functions return a `StackError`, whose messages say what failed"
)]

mod administration;
mod databases;
mod directory;
mod error;
mod install;
mod postgres;
mod process;
mod redis;
mod runtime;
mod search_path;
mod server;
mod stack;
mod waiting;
mod watchdog;

pub use databases::TestDatabase;
pub use error::StackError;
pub use install::install;
pub use postgres::{Frozen, Postgres, PostgresOptions};
pub use redis::Redis;
pub use runtime::connect;
pub use search_path::{PostgresBinaries, SearchPath};
pub use server::Server;
pub use stack::Stack;
pub use waiting::{TIMEOUT, wait_for_blocked, within};
