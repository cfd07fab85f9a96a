use std::borrow::Cow;

use chrono::SecondsFormat;
use csv::{Terminator, Writer, WriterBuilder};
use uuid::Uuid;

use super::AuditLogBody;

/// What the fields are called, in their order.
const HEADER: [&str; 15] = [
    "log_id",
    "timestamp",
    "user_id",
    "action",
    "result",
    "entity_type",
    "entity_id",
    "vehicle_id",
    "command_id",
    "details",
    "ip_address",
    "user_agent",
    "request_id",
    "position",
    "hash",
];

/// The names of the fields, as the first line.
pub(super) fn header() -> Result<Vec<u8>, csv::Error> {
    let mut writer = writer();
    writer.write_record(HEADER)?;
    finish(writer)
}

/// One line for each of `lines`. What is null is empty; `details` is JSON.
pub(super) fn block(lines: &[AuditLogBody]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = writer();
    for line in lines {
        let fields = fields(line);
        writer.write_record(fields.iter().map(|field| guarded(field).into_owned()))?;
    }
    finish(writer)
}

fn fields(line: &AuditLogBody) -> [String; HEADER.len()] {
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        line.log_id.to_string(),
        line.timestamp.to_rfc3339_opts(SecondsFormat::Micros, true),
        id(line.user_id),
        line.action.clone(),
        line.result.to_owned(),
        line.entity_type.clone(),
        id(line.entity_id),
        id(line.vehicle_id),
        id(line.command_id),
        line.details.to_string(),
        text(&line.ip_address),
        text(&line.user_agent),
        text(&line.request_id),
        line.position
            .map(|place| place.to_string())
            .unwrap_or_default(),
        text(&line.hash),
    ]
}

/// Keeps a spreadsheet from running what a client chose to call itself: it takes a field that begins
/// like this for a formula, quoted or not.
fn guarded(field: &str) -> Cow<'_, str> {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{field}"))
    } else {
        Cow::Borrowed(field)
    }
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(Vec::new())
}

fn finish(writer: Writer<Vec<u8>>) -> Result<Vec<u8>, csv::Error> {
    writer
        .into_inner()
        .map_err(|error| error.into_error().into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line() -> AuditLogBody {
        AuditLogBody {
            log_id: Uuid::from_u128(1),
            timestamp: "2026-01-02T03:04:05.000006Z".parse().unwrap(),
            user_id: Some(Uuid::from_u128(2)),
            action: "auth.login".to_owned(),
            result: "done",
            entity_type: "session".to_owned(),
            entity_id: None,
            vehicle_id: None,
            command_id: None,
            details: json!({ "a": "b, \"c\"" }),
            ip_address: Some("::1".to_owned()),
            user_agent: Some("two\nlines".to_owned()),
            request_id: None,
            position: Some(3),
            hash: None,
        }
    }

    #[test]
    fn the_names_are_those_of_the_json() {
        let json = serde_json::to_value(line()).unwrap();
        let mut names: Vec<&str> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut header = HEADER.to_vec();
        names.sort_unstable();
        header.sort_unstable();
        assert_eq!(names, header);
    }

    #[test]
    fn fields_are_quoted_as_rfc_4180_wants_it() {
        let text = String::from_utf8(block(&[line()]).unwrap()).unwrap();
        assert_eq!(
            text,
            "00000000-0000-0000-0000-000000000001,2026-01-02T03:04:05.000006Z,\
             00000000-0000-0000-0000-000000000002,auth.login,done,session,,,,\
             \"{\"\"a\"\":\"\"b, \\\"\"c\\\"\"\"\"}\",::1,\"two\nlines\",,3,\r\n"
        );
        let header = String::from_utf8(header().unwrap()).unwrap();
        assert!(header.starts_with("log_id,timestamp,user_id,"), "{header}");
        assert!(header.ends_with(",hash\r\n"), "{header}");
    }

    #[test]
    fn what_a_spreadsheet_would_run_gets_an_apostrophe() {
        for field in ["=1+1", "+1", "-1", "@a", "\ta", "\ra"] {
            assert_eq!(guarded(field), format!("'{field}"));
        }
        for field in ["", "a=1", " =1", "'=1", "1-1"] {
            assert_eq!(guarded(field), field);
        }
    }
}
