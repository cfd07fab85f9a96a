//! Limits of a connection that actix-http does not enforce: a deadline for every request head and every
//! write, one request at a time, slices of large bodies, and a limit on the connections of one address.
//!
//! actix-http times only the first head of a connection, never times a write, parses all pipelined
//! requests at once, and copies each chunk of a body into its write buffer regardless of its size.
//! Therefore it receives a `MeteredStream` instead of the socket and runs under `within_deadlines`.

mod activity;
mod deadline;
mod framing;
mod limit;
mod service;
mod slices;
mod stream;

pub(crate) use limit::ConnectionLimit;
pub(crate) use service::{ConnectionSettings, connection_service};
pub(crate) use slices::track_response;
