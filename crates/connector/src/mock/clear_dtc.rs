use serde_json::{Value, json};

use crate::request::CommandRequest;

/// One chunk for each step of the clearing; the last one says that it is done.
pub(super) fn answer(request: &CommandRequest, chunks: usize) -> Vec<Value> {
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
