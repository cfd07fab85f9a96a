use std::collections::{BTreeMap, HashMap, btree_map::Entry};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sovd_domain::{CommandId, Dtc, Response, ResponseId, RuleBook};
use sovd_storage::{
    Connection, StorageError, commands::responses, maintenance::detection_jobs::DetectionJob,
};

/// The maximum number of distinct trouble codes in a response. No vehicle has that many faults, so a
/// response with more is considered invalid.
pub(super) const MAX_CODES: usize = 1000;

/// The number of response chunks that are read at a time.
const CHUNKS_PER_READ: i64 = 64;

/// The maximum length of a text that is kept with a code, in characters.
const MAX_TEXT: usize = 100;

/// The first report of each trouble code in a response.
pub(super) type Faults = BTreeMap<Dtc, Fault>;

/// A reported trouble code.
pub(super) struct Fault {
    /// The chunk that contains the code.
    pub(super) response_id: ResponseId,
    /// When that chunk was received.
    pub(super) read_at: DateTime<Utc>,
    /// The code and its context; a JSON object.
    pub(super) snapshot: Value,
}

/// Reads the faults of a response, and stops after more than [`MAX_CODES`].
pub(super) async fn read(
    connection: &mut Connection,
    job: DetectionJob,
) -> Result<Faults, StorageError> {
    let mut faults = Faults::new();
    let mut position = (job.command_id, job.first_sequence_number - 1);
    while faults.len() <= MAX_CODES {
        let mut next = responses::list_next(connection, &[position], CHUNKS_PER_READ).await?;
        let chunks = next.remove(&position).unwrap_or_default();
        let Some(last) = chunks.last() else {
            break;
        };
        position.1 = last.sequence_number;
        for chunk in &chunks {
            collect(chunk, &mut faults);
        }
    }
    Ok(faults)
}

/// Reads the faults of those responses that have few chunks and codes, by their commands.
pub(super) async fn read_short(
    connection: &mut Connection,
    jobs: &[DetectionJob],
) -> Result<HashMap<CommandId, Faults>, StorageError> {
    let position = |job: &DetectionJob| (job.command_id, job.first_sequence_number - 1);
    let positions: Vec<_> = jobs.iter().map(position).collect();
    let chunks = responses::list_next(connection, &positions, CHUNKS_PER_READ).await?;
    let short = chunks
        .into_iter()
        .filter(|(_, chunks)| {
            i64::try_from(chunks.len()).is_ok_and(|count| count < CHUNKS_PER_READ)
        })
        .map(|((command_id, _), chunks)| {
            let mut faults = Faults::new();
            for chunk in &chunks {
                collect(chunk, &mut faults);
            }
            (command_id, faults)
        });
    Ok(short
        .filter(|(_, faults)| faults.len() <= MAX_CODES)
        .collect())
}

/// Returns whether a rule matches one of the trouble codes in a chunk.
pub(crate) fn matches_rule(rules: &RuleBook, payload: &Value) -> bool {
    reported(payload).any(|(_, _, dtc)| rules.first_match(&dtc).is_some())
}

/// Adds the trouble codes of one chunk, and ignores everything else.
fn collect(chunk: &Response, faults: &mut Faults) {
    let payload = &chunk.response_payload;
    for (fault, code, dtc) in reported(payload) {
        if let Entry::Vacant(vacant) = faults.entry(dtc) {
            vacant.insert(Fault {
                response_id: chunk.response_id,
                read_at: chunk.received_at,
                snapshot: json!({
                    "ecu_address": short_text(payload, "ecu_address"),
                    "code": code,
                    "status": short_text(fault, "status"),
                }),
            });
        }
    }
}

/// Returns the reported faults with valid trouble codes.
fn reported(payload: &Value) -> impl Iterator<Item = (&Value, &str, Dtc)> {
    let list = payload.get("dtcs").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|fault| {
        let code = fault.get("code")?.as_str()?;
        Some((fault, code, code.parse().ok()?))
    })
}

/// Returns a field if it is a text of at most [`MAX_TEXT`] characters.
fn short_text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    let text = object.get(field)?.as_str()?;
    (text.chars().count() <= MAX_TEXT).then_some(text)
}

#[cfg(test)]
mod tests {
    use sovd_domain::CommandId;
    use uuid::Uuid;

    use super::*;

    fn collected(payload: Value) -> Faults {
        let chunk = Response {
            response_id: ResponseId(Uuid::from_u128(1)),
            command_id: CommandId(Uuid::from_u128(2)),
            response_payload: payload,
            sequence_number: 1,
            is_final: true,
            received_at: DateTime::UNIX_EPOCH,
        };
        let mut faults = Faults::new();
        collect(&chunk, &mut faults);
        faults
    }

    #[test]
    fn keeps_the_first_report_of_a_code() {
        let faults = collected(json!({
            "ecu_address": "0x10",
            "dtcs": [
                { "code": "P0420", "status": "confirmed", "description": "x".repeat(10_000) },
                { "code": "P0420", "status": "pending" },
            ],
        }));
        let snapshots: Vec<&Value> = faults.values().map(|fault| &fault.snapshot).collect();
        let expected = json!({ "ecu_address": "0x10", "code": "P0420", "status": "confirmed" });
        assert_eq!(snapshots, [&expected]);
    }

    #[test]
    fn keeps_only_short_texts() {
        for (reported, kept) in [
            (json!("é".repeat(100)), json!("é".repeat(100))),
            (json!("é".repeat(101)), Value::Null),
            (json!({ "deep": [] }), Value::Null),
            (json!(5), Value::Null),
        ] {
            let faults = collected(json!({
                "ecu_address": reported, "dtcs": [{ "code": "P0420", "status": reported }],
            }));
            let snapshot = &faults.values().next().unwrap().snapshot;
            assert_eq!(snapshot["status"], kept);
            assert_eq!(snapshot["ecu_address"], kept);
        }
    }

    #[test]
    fn ignores_malformed_faults() {
        for malformed in [
            json!(null),
            json!("P0420"),
            json!({ "dtcs": "P0420" }),
            json!({ "dtcs": { "code": "P0420" } }),
            json!({ "dtcs": ["P0420", null, 5, [], {}] }),
            json!({ "dtcs": [{ "code": 420 }, { "code": null }, { "code": ["P0420"] }] }),
            json!({ "dtcs": [{ "code": "P042" }, { "code": "" }] }),
            json!({ "dtcs": [{ "code": "P0420".repeat(10_000) }, { "code": "P0420; DROP" }] }),
            json!({ "faults": [{ "code": "P0420" }] }),
        ] {
            assert!(collected(malformed.clone()).is_empty(), "{malformed}");
        }
    }
}
