#![doc = include_str!("../README.md")]

mod error;
mod subscriber;

pub use error::TelemetryError;
pub use subscriber::{Format, subscriber};

use std::io;

use tracing_subscriber::util::SubscriberInitExt;

/// Sends the logs of this process to standard output, those of the `log` crate included.
///
/// `level` is as for [`subscriber()`]. A second call is harmless: it checks its level and leaves
/// the first subscriber in place, so that one process can start many applications.
///
/// # Errors
///
/// [`TelemetryError::Level`] if `level` cannot be understood.
pub fn init(level: &str, format: Format) -> Result<(), TelemetryError> {
    let subscriber = subscriber(level, format, io::stdout)?;
    // The only failure is that logs already go somewhere, which is what the caller wants.
    subscriber.try_init().or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_call_is_harmless_but_still_checks_the_level() {
        assert!(init("error", Format::Json).is_ok());
        assert!(init("error", Format::Pretty).is_ok());
        assert!(init("loud", Format::Json).is_err());
    }
}
