use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use sovd_domain::Vin;

use super::journal::JournalEntry;

/// The cleared trouble codes of the simulated vehicles, by VIN and ECU address.
#[derive(Debug, Default)]
pub(super) struct FaultMemory(HashMap<(Vin, String), ClearedCodes>);

impl FaultMemory {
    /// Records the trouble codes that `entry` cleared.
    pub(super) fn apply(&mut self, entry: &JournalEntry) {
        if !entry.acted || entry.command_name != "ClearDTC" {
            return;
        }
        let cleared = self.0.entry(key(&entry.vin, &entry.params)).or_default();
        match entry.params.get("dtcCode") {
            None => *cleared = ClearedCodes::All,
            Some(code) => cleared.add(code),
        }
    }

    /// Returns the cleared trouble codes of the ECU that `params` address.
    pub(super) fn cleared_codes(&self, vin: &Vin, params: &Value) -> ClearedCodes {
        self.0.get(&key(vin, params)).cloned().unwrap_or_default()
    }
}

/// Hexadecimal digits are case-insensitive.
fn key(vin: &Vin, params: &Value) -> (Vin, String) {
    let ecu_address = params.get("ecuAddress").and_then(Value::as_str);
    let ecu_address = ecu_address.unwrap_or_default().to_ascii_lowercase();
    (vin.clone(), ecu_address)
}

/// The cleared trouble codes of one ECU.
#[derive(Debug, Clone)]
pub(super) enum ClearedCodes {
    All,
    Codes(BTreeSet<String>),
}

impl Default for ClearedCodes {
    fn default() -> Self {
        Self::Codes(BTreeSet::new())
    }
}

impl ClearedCodes {
    pub(super) fn contains(&self, code: &str) -> bool {
        match self {
            Self::All => true,
            Self::Codes(codes) => codes.contains(code),
        }
    }

    fn add(&mut self, code: &Value) {
        if let (Self::Codes(codes), Some(code)) = (self, code.as_str()) {
            codes.insert(code.to_owned());
        }
    }
}
