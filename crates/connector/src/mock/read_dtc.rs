use serde_json::{Value, json};

use crate::request::CommandRequest;

/// The trouble codes the mock always has.
const STORED: [(&str, &str, &str); 3] = [
    (
        "P0420",
        "Catalyst system efficiency below threshold, bank 1",
        "confirmed",
    ),
    ("P0301", "Cylinder 1 misfire detected", "pending"),
    ("U0100", "Lost communication with ECM/PCM A", "confirmed"),
];

/// A list of trouble codes, spread over `chunks` chunks.
pub(super) fn answer(request: &CommandRequest, chunks: usize) -> Vec<Value> {
    let codes: Vec<Value> = (0..chunks.max(STORED.len())).map(trouble_code).collect();
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

fn trouble_code(index: usize) -> Value {
    match STORED.get(index) {
        Some((code, description, status)) => {
            json!({ "code": code, "description": description, "status": status })
        }
        None => json!({
            "code": format!("B{:04X}", 0x1000 + index % 0x1000),
            "description": "Body control module fault",
            "status": "history",
        }),
    }
}
