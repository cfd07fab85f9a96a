use serde::Deserialize;
use sovd_domain::{CommandStatus, StreamEvent};

/// An untrusted message about the progress of a command. Any client of Redis can send it, so it only
/// triggers a database read.
///
/// Hints are ordered by progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hint {
    /// The command is in progress.
    Started,
    /// The response with this sequence number is stored.
    Response(i32),
    /// The command reached its terminal state.
    Ended,
}

impl From<&StreamEvent> for Hint {
    fn from(event: &StreamEvent) -> Self {
        match event {
            StreamEvent::Response {
                sequence_number, ..
            } => Self::Response(*sequence_number),
            StreamEvent::Status {
                status: CommandStatus::InProgress,
                ..
            } => Self::Started,
            StreamEvent::Status { .. } | StreamEvent::Error { .. } => Self::Ended,
        }
    }
}

/// The fields of a [`StreamEvent`] that a hint needs. The parser skips the rest of the message without
/// storing it, regardless of its size or depth.
#[derive(Deserialize)]
struct Fields {
    event: Kind,
    status: Option<CommandStatus>,
    sequence_number: Option<i32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Response,
    Status,
    Error,
}

impl Hint {
    /// Parses a hint from the JSON of a [`StreamEvent`].
    pub(crate) fn from_json(payload: &[u8]) -> Result<Self, serde_json::Error> {
        let fields: Fields = serde_json::from_slice(payload)?;
        match (fields.event, fields.status, fields.sequence_number) {
            (Kind::Response, _, Some(number)) => Ok(Self::Response(number)),
            (Kind::Status, Some(CommandStatus::InProgress), _) => Ok(Self::Started),
            (Kind::Status, Some(CommandStatus::Completed), _) | (Kind::Error, ..) => {
                Ok(Self::Ended)
            }
            (Kind::Response | Kind::Status, ..) => Err(serde::de::Error::custom(
                "the event lacks its sequence number or status",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(json: &str) -> Option<Hint> {
        Hint::from_json(json.as_bytes()).ok()
    }

    #[test]
    fn parses_the_progress_of_an_event() {
        for (json, expected) in [
            (
                r#"{"event":"status","status":"in_progress"}"#,
                Hint::Started,
            ),
            (r#"{"event":"status","status":"completed"}"#, Hint::Ended),
            (r#"{"event":"error","status":"failed"}"#, Hint::Ended),
            (
                r#"{"event":"response","sequence_number":7,"response":{}}"#,
                Hint::Response(7),
            ),
        ] {
            assert_eq!(hint(json), Some(expected), "{json}");
        }
    }

    #[test]
    fn rejects_other_messages() {
        for json in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"event":"party"}"#,
            r#"{"event":"status"}"#,
            r#"{"event":"status","status":"pending"}"#,
            r#"{"event":"response"}"#,
            r#"{"event":"response","sequence_number":2147483648}"#,
            r#"{"event":"response","sequence_number":1.5}"#,
        ] {
            assert_eq!(hint(json), None, "{json}");
        }
    }

    #[test]
    fn skips_a_deep_payload() {
        let depth = 1_000_000;
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let json = format!(r#"{{"event":"response","sequence_number":1,"response":{deep}}}"#);
        assert_eq!(hint(&json), Some(Hint::Response(1)));
    }

    #[test]
    fn orders_hints_by_progress() {
        assert!(Hint::Started < Hint::Response(0));
        assert!(Hint::Response(1) < Hint::Response(2));
        assert!(Hint::Response(i32::MAX) < Hint::Ended);
    }
}
