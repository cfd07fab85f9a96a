use tracing::Subscriber;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::TelemetryError;

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line, for machines.
    Json,
    /// One short text per line, for people.
    Pretty,
}

/// Returns a subscriber that writes the events of `level` and above to `writer`.
///
/// `level` is `off`, `error`, `warn`, `info`, `debug` or `trace`, or a list of `target=level` directives
/// separated by commas, in the syntax of [`EnvFilter`]. Unlike `EnvFilter`, this function rejects a target
/// without a level: it is usually a mistyped level and would silence all other targets.
///
/// The events of actix-http about malformed requests are omitted unless `level` names that crate.
///
/// # Errors
///
/// Returns [`TelemetryError::Level`] if `level` is invalid.
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

/// The target of an ERROR event for each malformed request, which unauthenticated clients can send at any
/// rate. The API logs broken connections itself, at DEBUG and with a rate limit.
const CONNECTION_ERRORS: &str = "actix_http::h1::dispatcher";

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let invalid = || TelemetryError::Level {
        level: level.to_owned(),
    };
    let each_has_a_level = level
        .split(',')
        .all(|directive| directive.contains('=') || is_level(directive));
    if !each_has_a_level {
        return Err(invalid());
    }
    let filter = EnvFilter::try_new(level).map_err(|_| invalid())?;
    if level.contains("actix_http") {
        return Ok(filter);
    }
    let silent = format!("{CONNECTION_ERRORS}=off");
    Ok(filter.add_directive(silent.parse().map_err(|_| invalid())?))
}

fn is_level(text: &str) -> bool {
    // The parser also accepts numbers and the empty string.
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

    fn output_of(level: &str, format: Format, log: impl FnOnce()) -> String {
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
    fn malformed_requests_are_logged_only_if_the_level_names_actix_http() {
        let log = || {
            tracing::error!(target: CONNECTION_ERRORS, "stream error");
            tracing::error!(target: "actix_http::service", "not ready");
        };
        for level in ["info", "trace"] {
            let output = output_of(level, Format::Pretty, log);
            assert!(!output.contains("stream error"), "{output}");
            assert!(output.contains("not ready"), "{output}");
        }
        let output = output_of("info,actix_http=error", Format::Pretty, log);
        assert!(output.contains("stream error"), "{output}");
    }

    #[test]
    fn a_json_line_contains_message_fields_and_spans() {
        let line = output_of("info", Format::Json, || {
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
    fn the_current_span_of_a_json_line_contains_the_request_id() {
        let line = output_of("info", Format::Json, || {
            let _request = info_span!("http.request", request_id = "r-1").entered();
            info!("accepted");
        });

        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["span"]["request_id"], "r-1");
    }

    #[test]
    fn a_pretty_line_is_one_line_without_colors() {
        let line = output_of("info", Format::Pretty, || {
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
    fn events_below_the_level_are_omitted() {
        let lines = output_of("warn", Format::Pretty, || {
            info!("omitted");
            warn!("included");
        });

        assert!(
            lines.contains("included") && !lines.contains("omitted"),
            "{lines}"
        );
    }

    #[test]
    fn a_target_can_have_its_own_level() {
        let lines = output_of("warn,chatty=debug", Format::Pretty, || {
            debug!(target: "chatty", "included");
            debug!("omitted");
        });

        assert!(
            lines.contains("included") && !lines.contains("omitted"),
            "{lines}"
        );
    }

    #[test]
    fn an_invalid_level_is_rejected_with_the_accepted_values() {
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
