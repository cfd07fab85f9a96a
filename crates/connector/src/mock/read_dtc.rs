use serde_json::{Value, json};

use super::fault_memory::Erased;
use crate::request::CommandRequest;

/// The trouble codes that every ECU has at first.
const STORED: [(&str, &str, &str); 3] = [
    (
        "P0420",
        "Catalyst system efficiency below threshold, bank 1",
        "confirmed",
    ),
    ("P0301", "Cylinder 1 misfire detected", "pending"),
    ("U0100", "Lost communication with ECM/PCM A", "confirmed"),
];

/// The trouble codes that were not erased, spread over `chunks` chunks.
pub(super) fn answer(request: &CommandRequest, chunks: usize, erased: &Erased) -> Vec<Value> {
    let codes: Vec<Value> = (0..chunks.max(STORED.len()))
        .map(trouble_code)
        .filter(|(code, ..)| !erased.contains(code))
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

/// Code, description and status.
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
