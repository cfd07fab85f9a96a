#![doc = include_str!("../README.md")]

mod error;
mod subscriber;

pub use error::TelemetryError;
pub use subscriber::{Format, subscriber};

use std::io;

use tracing_subscriber::util::SubscriberInitExt;

/// Writes the logs of this process to standard output, including those of the `log` crate.
///
/// `level` is the same as for [`subscriber()`]. A second call only validates its level and keeps the first
/// subscriber, so that one process can start several applications.
///
/// # Errors
///
/// Returns [`TelemetryError::Level`] if `level` is invalid.
pub fn init(level: &str, format: Format) -> Result<(), TelemetryError> {
    let subscriber = subscriber(level, format, io::stdout)?;
    // The only possible error is that a subscriber is already installed.
    subscriber.try_init().or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_call_only_validates_the_level() {
        assert!(init("error", Format::Json).is_ok());
        assert!(init("error", Format::Pretty).is_ok());
        assert!(init("loud", Format::Json).is_err());
    }
}
