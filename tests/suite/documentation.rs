//! The documentation: its links lead somewhere, and its commands run.

mod commands;
mod links;
mod page;
mod requests;
mod walkthroughs;
