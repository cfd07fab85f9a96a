use std::collections::{BTreeMap, BTreeSet};

/// The state of one simulated ECU.
#[derive(Debug, Clone, Default)]
pub struct Ecu {
    pub(crate) trouble_codes: BTreeSet<String>,
    pub(crate) data: BTreeMap<String, String>,
}

impl Ecu {
    /// Adds a stored trouble code (SAE J2012), such as `P0420`.
    #[must_use]
    pub fn with_trouble_code(mut self, code: &str) -> Self {
        self.trouble_codes.insert(code.to_owned());
        self
    }

    /// Sets the value of a data identifier (ISO 14229-1), such as `0xF190` for the VIN.
    #[must_use]
    pub fn with_data(mut self, data_id: &str, value: &str) -> Self {
        self.data
            .insert(data_id.to_ascii_lowercase(), value.to_owned());
        self
    }
}
