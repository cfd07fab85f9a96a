use std::borrow::Cow;

use chrono::SecondsFormat;
use csv::{Terminator, Writer, WriterBuilder};
use uuid::Uuid;

use super::AuditLogBody;

/// The names of the fields, in order.
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

/// Returns the header line.
pub(super) fn header() -> Result<Vec<u8>, csv::Error> {
    let mut writer = writer();
    writer.write_record(HEADER)?;
    finish(writer)
}

/// Returns a line for each entry. Null fields are empty; `details` is JSON.
pub(super) fn block(entries: &[AuditLogBody]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = writer();
    for entry in entries {
        let fields = fields(entry);
        writer.write_record(
            fields
                .iter()
                .map(|field| escape_formula(field).into_owned()),
        )?;
    }
    finish(writer)
}

fn fields(entry: &AuditLogBody) -> [String; HEADER.len()] {
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        entry.log_id.to_string(),
        entry.timestamp.to_rfc3339_opts(SecondsFormat::Micros, true),
        id(entry.user_id),
        entry.action.clone(),
        entry.result.to_owned(),
        entry.entity_type.clone(),
        id(entry.entity_id),
        id(entry.vehicle_id),
        id(entry.command_id),
        entry.details.to_string(),
        text(&entry.ip_address),
        text(&entry.user_agent),
        text(&entry.request_id),
        entry
            .position
            .map(|position| position.to_string())
            .unwrap_or_default(),
        text(&entry.hash),
    ]
}

/// Prevents CSV injection: spreadsheets evaluate fields that start with these characters as formulas,
/// even if quoted.
fn escape_formula(field: &str) -> Cow<'_, str> {
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

    fn entry() -> AuditLogBody {
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
    fn the_header_has_the_names_of_the_json_fields() {
        let json = serde_json::to_value(entry()).unwrap();
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
    fn fields_are_quoted_according_to_rfc_4180() {
        let text = String::from_utf8(block(&[entry()]).unwrap()).unwrap();
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
    fn formulas_are_escaped_with_an_apostrophe() {
        for field in ["=1+1", "+1", "-1", "@a", "\ta", "\ra"] {
            assert_eq!(escape_formula(field), format!("'{field}"));
        }
        for field in ["", "a=1", " =1", "'=1", "1-1"] {
            assert_eq!(escape_formula(field), field);
        }
    }
}
