use tracing::Subscriber;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::TelemetryError;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, for machines.
    Json,
    /// One short text a line, for people.
    Pretty,
}

/// A subscriber that writes the events of `level` and above to `writer`.
///
/// `level` is `off`, `error`, `warn`, `info`, `debug` or `trace`, or `target=level` directives
/// separated by commas, in the syntax of [`EnvFilter`]. A target without a level, which
/// `EnvFilter` would take, is refused: it is nearly always a mistyped level and silences the rest.
///
/// What actix-http records about broken connections is left out unless `level` names that crate.
///
/// # Errors
///
/// [`TelemetryError::Level`] if `level` cannot be understood.
pub fn subscriber<W>(
    level: &str,
    format: Format,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, TelemetryError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let filter = filter(level)?;
    let lines = fmt::layer().with_writer(writer).with_ansi(false);
    let lines = match format {
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(true)
            .boxed(),
        Format::Pretty => lines.compact().boxed(),
    };
    Ok(registry().with(filter).with(lines))
}

/// Where actix-http writes an ERROR record for each malformed request, which any stranger can send at any
/// rate. The API records broken connections itself, at DEBUG and with a bound.
const CONNECTION_ERRORS: &str = "actix_http::h1::dispatcher";

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let refused = || TelemetryError::Level {
        level: level.to_owned(),
    };
    let each_has_a_level = level
        .split(',')
        .all(|directive| directive.contains('=') || is_level(directive));
    if !each_has_a_level {
        return Err(refused());
    }
    let filter = EnvFilter::try_new(level).map_err(|_| refused())?;
    if level.contains("actix_http") {
        return Ok(filter);
    }
    let silent = format!("{CONNECTION_ERRORS}=off");
    Ok(filter.add_directive(silent.parse().map_err(|_| refused())?))
}

fn is_level(text: &str) -> bool {
    // The parser also takes numbers and an empty text.
    text.chars().any(char::is_alphabetic) && text.parse::<LevelFilter>().is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::subscriber::with_default;
    use tracing::{debug, info, info_span, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(level: &str, format: Format, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        with_default(
            subscriber(level, format, move || writer.clone()).unwrap(),
            log,
        );
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn malformed_requests_are_recorded_only_on_demand() {
        let log = || {
            tracing::error!(target: CONNECTION_ERRORS, "stream error");
            tracing::error!(target: "actix_http::service", "not ready");
        };
        for level in ["info", "trace"] {
            let written = written(level, Format::Pretty, log);
            assert!(!written.contains("stream error"), "{written}");
            assert!(written.contains("not ready"), "{written}");
        }
        let written = written("info,actix_http=error", Format::Pretty, log);
        assert!(written.contains("stream error"), "{written}");
    }

    #[test]
    fn a_json_line_holds_message_fields_and_every_span() {
        let line = written("info", Format::Json, || {
            let _request = info_span!("http.request", request_id = "r-1").entered();
            let _submit = info_span!("commands.submit", command.id = 7).entered();
            info!(attempt = 2, "accepted");
        });

        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "accepted");
        assert_eq!(line["attempt"], 2);
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["span"]["name"], "commands.submit");
        assert_eq!(line["spans"][0]["request_id"], "r-1");
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.contains('T') && time.ends_with('Z'), "{time}");
    }

    #[test]
    fn the_current_span_of_a_json_line_carries_the_request_id() {
        let line = written("info", Format::Json, || {
            let _request = info_span!("http.request", request_id = "r-1").entered();
            info!("accepted");
        });

        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["span"]["request_id"], "r-1");
    }

    #[test]
    fn a_pretty_line_is_one_line_without_colours() {
        let line = written("info", Format::Pretty, || {
            let _request = info_span!("http.request", request_id = "r-1").entered();
            info!("accepted");
        });

        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(
            line.contains("accepted") && line.contains("request_id=\"r-1\""),
            "{line}"
        );
        assert!(!line.contains('\u{1b}'), "{line}");
    }

    #[test]
    fn events_below_the_level_are_left_out() {
        let lines = written("warn", Format::Pretty, || {
            info!("quiet");
            warn!("heard");
        });

        assert!(
            lines.contains("heard") && !lines.contains("quiet"),
            "{lines}"
        );
    }

    #[test]
    fn a_target_has_a_level_of_its_own() {
        let lines = written("warn,chatty=debug", Format::Pretty, || {
            debug!(target: "chatty", "heard");
            debug!("quiet");
        });

        assert!(
            lines.contains("heard") && !lines.contains("quiet"),
            "{lines}"
        );
    }

    #[test]
    fn a_bad_level_names_what_is_accepted() {
        for level in [
            "",
            "loud",
            "3",
            "info,",
            "info,sovd_api",
            "info, warn",
            "sovd_api=loud",
        ] {
            let error = filter(level).unwrap_err().to_string();
            assert!(
                error.contains("off, error, warn, info, debug or trace"),
                "{error}"
            );
        }
        for level in [
            "INFO",
            "off",
            "info,sovd_api=debug",
            "[request{id=7}]=trace",
        ] {
            assert!(filter(level).is_ok(), "{level}");
        }
    }
}
