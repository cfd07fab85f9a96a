#![doc = include_str!("../README.md")]
#![expect(
    clippy::missing_errors_doc,
    reason = "`ServiceError` documents the errors that services have in common"
)]

pub mod agents;
pub mod audit;
pub mod bulk_reads;
pub mod commands;
pub mod fleet;
mod group_commit;
pub mod health;
pub mod housekeeping;
pub mod identity;
pub mod in_flight;
pub mod limits;
pub mod maintenance;

mod differences;
mod error;
mod event_publisher;
mod json_limits;
mod keyed_permits;
mod network;
mod timer;

pub use commands::work_notifier::WorkNotifier;
pub use error::{AuthFailure, Result, ServiceError};
pub use event_publisher::EventPublisher;
pub use identity::access::Access;
pub use identity::caller::{Caller, Credential};
pub use identity::credential_cache::{CredentialCache, CredentialWatch};
pub use network::network_of;
pub use sovd_storage::text;
pub use timer::{SystemTimer, Timer};
