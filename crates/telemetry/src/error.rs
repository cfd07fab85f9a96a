use thiserror::Error;

/// An error of setting up logging.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The level is invalid.
    #[error(
        "log level {level:?}: expected off, error, warn, info, debug or trace, or target=level, \
         several separated by commas"
    )]
    Level {
        /// The invalid level.
        level: String,
    },
}
