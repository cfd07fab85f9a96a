#![doc = include_str!("../README.md")]
#![doc = include_str!("../ASVS.md")]

pub mod agents;
pub mod anomalies;
pub mod audit;
pub mod auth;
pub mod bookings;
pub mod bulk_reads;
pub mod commands;
pub mod detection;
pub mod dispatch;
pub mod fleet;
pub mod health;
pub mod housekeeping;
pub mod in_flight;
pub mod insights;
pub mod limits;
pub mod refusals;
pub mod service_accounts;
pub mod streams;
pub mod users;
pub mod vehicles;

mod caller;
mod callers;
mod differences;
mod ending;
mod environment;
mod error;
mod free_form;
mod network;
mod new_work;
mod outbox;
mod timer;
mod turns;

pub use caller::{Caller, Credential};
pub use callers::{Callers, CredentialWatch};
pub use environment::Environment;
pub use error::{AuthFailure, ServiceError};
pub use network::network_of;
pub use new_work::NewWork;
pub use outbox::Outbox;
pub use timer::{SystemTimer, TestTimer, Timer};
