#![doc = include_str!("../README.md")]

#[cfg(feature = "contract-suite")]
pub mod contract;
pub mod mock;

mod error;
mod registry;
mod request;

pub use error::ConnectorError;
pub use mock::{Journal, JournalEntry, MockBehavior, MockConnector, MockFailure};
pub use registry::{Registry, UnknownConnector};
pub use request::{CommandRequest, Connector, ResponseChunk, ResponseStream};
