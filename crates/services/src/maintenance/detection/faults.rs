use std::collections::{BTreeMap, btree_map::Entry};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sovd_domain::{Dtc, Response, ResponseId};
use sovd_storage::{
    Connection, StorageError, commands::responses, maintenance::detection_jobs::DetectionJob,
};

/// How many different trouble codes one answer has at most. No vehicle has that many faults, so what
/// says so is broken itself.
pub(super) const MOST_CODES: usize = 1000;

/// How many parts of an answer are in memory at a time.
const PARTS_AT_A_TIME: i64 = 64;

/// How many characters of what a vehicle says beside a code are kept.
const LONGEST_WORD: usize = 100;

/// What an answer says of each trouble code, where it says so first.
pub(super) type Faults = BTreeMap<Dtc, Fault>;

/// What an answer says of one code.
pub(super) struct Fault {
    /// The part that says so.
    pub(super) response_id: ResponseId,
    /// When that part came.
    pub(super) read_at: DateTime<Utc>,
    /// The code with what stands beside it; a JSON object.
    pub(super) snapshot: Value,
}

/// Reads an answer, at least as far as it has no more codes than it may.
///
/// # Errors
///
/// When the database is away.
pub(super) async fn read(
    connection: &mut Connection,
    answer: DetectionJob,
) -> Result<Faults, StorageError> {
    let mut faults = Faults::new();
    let mut place = (answer.command_id, answer.first_sequence_number - 1);
    while faults.len() <= MOST_CODES {
        let mut next = responses::list_next(connection, &[place], PARTS_AT_A_TIME).await?;
        let parts = next.remove(&place).unwrap_or_default();
        let Some(last) = parts.last() else {
            break;
        };
        place.1 = last.sequence_number;
        for part in &parts {
            collect(part, &mut faults);
        }
    }
    Ok(faults)
}

/// Adds the trouble codes of one part. What is no code is passed over: vehicles say all sorts of
/// things.
fn collect(part: &Response, faults: &mut Faults) {
    let payload = &part.response_payload;
    let list = payload.get("dtcs").and_then(Value::as_array);
    for told in list.into_iter().flatten() {
        let code = told.get("code").and_then(Value::as_str).unwrap_or_default();
        let Ok(dtc) = code.parse() else {
            continue;
        };
        if let Entry::Vacant(vacant) = faults.entry(dtc) {
            vacant.insert(Fault {
                response_id: part.response_id,
                read_at: part.received_at,
                snapshot: json!({
                    "ecu_address": word(payload, "ecu_address"),
                    "code": code,
                    "status": word(told, "status"),
                }),
            });
        }
    }
}

/// A short text that a vehicle told; nothing when it is none.
fn word<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    let text = object.get(field)?.as_str()?;
    (text.chars().count() <= LONGEST_WORD).then_some(text)
}

#[cfg(test)]
mod tests {
    use sovd_domain::CommandId;
    use uuid::Uuid;

    use super::*;

    fn collected(payload: Value) -> Faults {
        let part = Response {
            response_id: ResponseId(Uuid::from_u128(1)),
            command_id: CommandId(Uuid::from_u128(2)),
            response_payload: payload,
            sequence_number: 1,
            is_final: true,
            received_at: DateTime::UNIX_EPOCH,
        };
        let mut faults = Faults::new();
        collect(&part, &mut faults);
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
        for (told, kept) in [
            (json!("é".repeat(100)), json!("é".repeat(100))),
            (json!("é".repeat(101)), Value::Null),
            (json!({ "deep": [] }), Value::Null),
            (json!(5), Value::Null),
        ] {
            let faults = collected(json!({
                "ecu_address": told, "dtcs": [{ "code": "P0420", "status": told }],
            }));
            let snapshot = &faults.values().next().unwrap().snapshot;
            assert_eq!(snapshot["status"], kept);
            assert_eq!(snapshot["ecu_address"], kept);
        }
    }

    #[test]
    fn ignores_malformed_faults() {
        for nonsense in [
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
            assert!(collected(nonsense.clone()).is_empty(), "{nonsense}");
        }
    }
}
