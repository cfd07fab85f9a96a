use serde_json::{Value, json};
use sovd_domain::Random;

use crate::request::CommandRequest;

/// Returns the value of one data identifier, split into `chunks` parts.
pub(super) fn response(request: &CommandRequest, chunks: usize, random: &dyn Random) -> Vec<Value> {
    let data_id = request
        .param("dataId")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_ascii_uppercase();
    // ISO 14229-1, annex C: F190 is the VIN.
    let (name, value) = match data_id.strip_prefix("0X") {
        Some("F190") => ("VIN", request.vin.to_string()),
        Some("F18C") => ("ECU serial number", "SN-000042-17".to_owned()),
        _ => ("raw", random_bytes(random)),
    };
    let characters: Vec<char> = value.chars().collect();
    let length = characters.len().div_ceil(chunks).max(1);
    (0..chunks)
        .map(|chunk| {
            let part: String = characters
                .iter()
                .skip(chunk * length)
                .take(length)
                .collect();
            json!({
                "ecu_address": request.param("ecuAddress"),
                "data_id": request.param("dataId"),
                "name": name,
                "value": part,
            })
        })
        .collect()
}

fn random_bytes(random: &dyn Random) -> String {
    let mut bytes = [0_u8; 4];
    random.fill(&mut bytes);
    format!("0x{:08X}", u32::from_be_bytes(bytes))
}
