//! Finding anomalies in what vehicles say of their faults.

use std::collections::{BTreeMap, btree_map::Entry};

use serde_json::{Value, json};
use sovd_domain::{AnomalyId, AuditEntry, Command, Dtc, Response, ResponseId, Rule};
use sovd_storage::{
    Connection, StorageError, Transaction, audit,
    detections::{self, Match, Reading},
    responses,
};

use crate::environment::Environment;

/// How many different trouble codes one answer has at most. No vehicle has that many faults, so what
/// says so is broken itself.
const MOST_CODES: usize = 1000;

/// How many parts of an answer are in memory at a time.
const PARTS_AT_A_TIME: i64 = 64;

/// How many characters of what a vehicle says beside a code are kept.
const LONGEST_WORD: usize = 100;

/// What the answer of a completed command says of one code.
struct Fault {
    response_id: ResponseId,
    snapshot: Value,
}

/// Writes an anomaly for each trouble code in the answer of a command that has just completed, if a
/// rule matches it and no anomaly of that code waits for a workshop. What goes wrong here undoes
/// nothing but itself.
///
/// # Errors
///
/// When the database is away; the transaction is lost then.
pub(crate) async fn detect(
    environment: &Environment,
    transaction: &mut Transaction,
    command: &Command,
) -> Result<(), StorageError> {
    let spec = environment.catalog.get(&command.command_name);
    if !spec.is_some_and(|spec| spec.reports_faults) {
        return Ok(());
    }
    let mut savepoint = transaction.savepoint().await?;
    match record(environment, &mut savepoint, command).await {
        Ok(()) => savepoint.release().await,
        Err(error @ StorageError::Unavailable(_)) => Err(error),
        Err(error) => {
            savepoint.rollback().await?;
            let command_id = command.command_id;
            tracing::error!(%command_id, %error, cause = ?error, "no anomalies were looked for");
            Ok(())
        }
    }
}

async fn record(
    environment: &Environment,
    connection: &mut Connection,
    command: &Command,
) -> Result<(), StorageError> {
    let faults = faults(connection, command).await?;
    if faults.len() > MOST_CODES {
        let command_id = command.command_id;
        tracing::warn!(%command_id, "an answer with over {MOST_CODES} codes makes no anomalies");
        return Ok(());
    }
    let matches: Vec<Match<'_>> = faults
        .into_iter()
        .filter_map(|(dtc, fault)| Some((environment.rules.first_match(&dtc)?, dtc, fault)))
        .map(|(rule, dtc, fault)| Match {
            anomaly_id: AnomalyId(environment.random.uuid()),
            dtc,
            rule,
            response_id: fault.response_id,
            sensor_snapshot: fault.snapshot,
        })
        .collect();
    if matches.is_empty() {
        return Ok(());
    }
    let told: Vec<(AnomalyId, Dtc, &Rule)> = matches
        .iter()
        .map(|found| (found.anomaly_id, found.dtc.clone(), found.rule))
        .collect();
    let now = environment.clock.now();
    let reading = Reading {
        vehicle_id: command.vehicle_id,
        command_id: command.command_id,
        read_at: now,
    };
    let written = detections::insert(connection, reading, matches).await?;
    for (anomaly_id, dtc, rule) in told {
        if written.contains(&anomaly_id) {
            let entry = entry(command, anomaly_id, &dtc, rule);
            audit::insert(connection, &entry, now).await?;
        }
    }
    Ok(())
}

fn entry(command: &Command, anomaly_id: AnomalyId, dtc: &Dtc, rule: &Rule) -> AuditEntry {
    AuditEntry {
        entity_id: Some(anomaly_id.0),
        vehicle_id: Some(command.vehicle_id),
        command_id: Some(command.command_id),
        details: json!({
            "rule_name": rule.name,
            "dtc_code": dtc.as_str(),
            "anomaly_type": rule.anomaly_type,
            "severity": rule.severity,
            "component_name": rule.component,
        }),
        ..AuditEntry::new("anomaly.detect", "anomaly")
    }
}

/// What the answer says of each trouble code, where it says so first.
async fn faults(
    connection: &mut Connection,
    command: &Command,
) -> Result<BTreeMap<Dtc, Fault>, StorageError> {
    let mut faults = BTreeMap::new();
    let mut place = (command.command_id, 0);
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
fn collect(part: &Response, faults: &mut BTreeMap<Dtc, Fault>) {
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
    use chrono::DateTime;
    use sovd_domain::CommandId;
    use uuid::Uuid;

    use super::*;

    fn collected(payload: Value) -> BTreeMap<Dtc, Fault> {
        let part = Response {
            response_id: ResponseId(Uuid::from_u128(1)),
            command_id: CommandId(Uuid::from_u128(2)),
            response_payload: payload,
            sequence_number: 1,
            is_final: true,
            received_at: DateTime::UNIX_EPOCH,
        };
        let mut faults = BTreeMap::new();
        collect(&part, &mut faults);
        faults
    }

    #[test]
    fn a_fault_is_kept_as_the_vehicle_told_it() {
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
    fn what_is_told_beside_a_code_is_kept_when_it_is_a_short_text() {
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
    fn nonsense_is_no_code() {
        for nonsense in [
            json!(null),
            json!("P0420"),
            json!({ "dtcs": "P0420" }),
            json!({ "dtcs": { "code": "P0420" } }),
            json!({ "dtcs": ["P0420", null, 5, [], {}] }),
            json!({ "dtcs": [{ "code": 420 }, { "code": null }, { "code": ["P0420"] }] }),
            json!({ "dtcs": [{ "code": "p0420" }, { "code": "P042" }, { "code": "" }] }),
            json!({ "dtcs": [{ "code": "P0420".repeat(10_000) }, { "code": "P0420; DROP" }] }),
            json!({ "faults": [{ "code": "P0420" }] }),
        ] {
            assert!(collected(nonsense.clone()).is_empty(), "{nonsense}");
        }
    }
}
