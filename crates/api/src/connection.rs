//! The bounds of one connection, which actix-http leaves open: a deadline for every request head and
//! for every wait on a peer that does not read, one request at a time, small pieces for large bodies, and
//! a cap on the connections of one address.
//!
//! actix-http times the first head of a connection only, never times a write, parses all pipelined
//! requests at once, and copies a body into its write buffer piece by piece, however large the piece. So
//! the server hands it a `MeteredStream` in place of the socket, and runs the connection under
//! `within_deadlines`.

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
