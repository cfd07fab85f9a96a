use serde_json::{Value, json};

use super::fault_memory::ClearedCodes;
use crate::request::CommandRequest;

/// The initial trouble codes of every ECU.
const STORED: [(&str, &str, &str); 3] = [
    (
        "P0420",
        "Catalyst system efficiency below threshold, bank 1",
        "confirmed",
    ),
    ("P0301", "Cylinder 1 misfire detected", "pending"),
    ("U0100", "Lost communication with ECM/PCM A", "confirmed"),
];

/// Returns the trouble codes that were not cleared, distributed over `chunks` chunks.
pub(super) fn response(
    request: &CommandRequest,
    chunks: usize,
    cleared: &ClearedCodes,
) -> Vec<Value> {
    let codes: Vec<Value> = (0..chunks.max(STORED.len()))
        .map(trouble_code)
        .filter(|(code, ..)| !cleared.contains(code))
        .map(|(code, description, status)| {
            json!({ "code": code, "description": description, "status": status })
        })
        .collect();
    (0..chunks)
        .map(|chunk| {
            let part: Vec<&Value> = codes.iter().skip(chunk).step_by(chunks).collect();
            json!({
                "ecu_address": request.param("ecuAddress"),
                "format": request.param("format").and_then(Value::as_str).unwrap_or("UDS"),
                "dtcs": part,
            })
        })
        .collect()
}

/// Returns code, description and status.
fn trouble_code(index: usize) -> (String, &'static str, &'static str) {
    match STORED.get(index) {
        Some((code, description, status)) => ((*code).to_owned(), description, status),
        None => (
            format!("B{:04X}", 0x1000 + index % 0x1000),
            "Body control module fault",
            "history",
        ),
    }
}
