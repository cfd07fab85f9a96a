use serde_json::{Value, json};

use crate::request::CommandRequest;

/// Returns one chunk for each step; the last one reports completion.
pub(super) fn response(request: &CommandRequest, chunks: usize) -> Vec<Value> {
    (1..=chunks)
        .map(|step| {
            json!({
                "ecu_address": request.param("ecuAddress"),
                "dtc_code": request.param("dtcCode"),
                "cleared": step == chunks,
            })
        })
        .collect()
}
