use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use sovd_domain::Vin;

use super::journal::JournalEntry;

/// Which trouble codes the simulated vehicles no longer have, by VIN and ECU address.
#[derive(Debug, Default)]
pub(super) struct FaultMemory(HashMap<(Vin, String), Erased>);

impl FaultMemory {
    /// Erases what `entry` erased.
    pub(super) fn learn(&mut self, entry: &JournalEntry) {
        if !entry.acted || entry.command_name != "ClearDTC" {
            return;
        }
        let erased = self.0.entry(key(&entry.vin, &entry.params)).or_default();
        match entry.params.get("dtcCode") {
            None => *erased = Erased::All,
            Some(code) => erased.add(code),
        }
    }

    /// What was erased in the ECU that `params` address.
    pub(super) fn erased(&self, vin: &Vin, params: &Value) -> Erased {
        self.0.get(&key(vin, params)).cloned().unwrap_or_default()
    }
}

/// Hex digits mean the same in either case.
fn key(vin: &Vin, params: &Value) -> (Vin, String) {
    let ecu_address = params.get("ecuAddress").and_then(Value::as_str);
    let ecu_address = ecu_address.unwrap_or_default().to_ascii_lowercase();
    (vin.clone(), ecu_address)
}

/// The trouble codes that one ECU no longer has.
#[derive(Debug, Clone)]
pub(super) enum Erased {
    All,
    Codes(BTreeSet<String>),
}

impl Default for Erased {
    fn default() -> Self {
        Self::Codes(BTreeSet::new())
    }
}

impl Erased {
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
