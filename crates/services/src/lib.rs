#![doc = include_str!("../README.md")]

pub mod auth;
pub mod commands;
pub mod dispatch;
pub mod health;
pub mod limits;
pub mod streams;
pub mod vehicles;

mod caller;
mod environment;
mod error;

pub use caller::Caller;
pub use environment::Environment;
pub use error::{AuthFailure, ServiceError};
