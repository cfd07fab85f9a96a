use thiserror::Error;

/// Why logs cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The level cannot be understood.
    #[error(
        "log level {level:?}: expected off, error, warn, info, debug or trace, or target=level, \
         several separated by commas"
    )]
    Level {
        /// The level as it was given.
        level: String,
    },
}
