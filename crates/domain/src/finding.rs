//! Looking again, when nobody knows whether a clearing ran.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::text_enum::text_enum;

text_enum! {
    /// What reading the faults again says about a clearing whose answer was lost.
    Finding, "finding" {
        /// None of the faults that it was to erase is stored.
        Cleared = "cleared",
        /// All of them are.
        NotCleared = "not cleared",
        /// Some are, or nobody could look.
        CannotTell = "cannot tell",
    }
}

impl Finding {
    /// Compares the faults of two readings, `None` for one that did not take place. `fault` is the
    /// only one to erase; nothing when it was all of them.
    pub fn of(
        fault: Option<&str>,
        before: Option<&BTreeSet<String>>,
        after: Option<&BTreeSet<String>>,
    ) -> Self {
        let Some(after) = after else {
            return Self::CannotTell;
        };
        if let Some(fault) = fault {
            return if after.contains(fault) {
                Self::NotCleared
            } else {
                Self::Cleared
            };
        }
        match before {
            _ if after.is_empty() => Self::Cleared,
            Some(before) if before.is_empty() => Self::CannotTell,
            Some(before) if before.is_subset(after) => Self::NotCleared,
            Some(before) if before.is_disjoint(after) => Self::Cleared,
            // What is left may have come back since.
            Some(_) | None => Self::CannotTell,
        }
    }
}

/// The trouble codes in the chunks of one reading; nothing when none of them has a list of faults.
pub fn fault_codes(chunks: &[Value]) -> Option<BTreeSet<String>> {
    let lists: Vec<&Vec<Value>> = chunks
        .iter()
        .filter_map(|chunk| chunk.get("dtcs").and_then(Value::as_array))
        .collect();
    if lists.is_empty() {
        return None;
    }
    lists
        .into_iter()
        .flatten()
        .map(|fault| fault.get("code").and_then(Value::as_str).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codes(text: &str) -> BTreeSet<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn all_faults() {
        let of = |before: Option<&str>, after: &str| {
            Finding::of(None, before.map(codes).as_ref(), Some(&codes(after)))
        };
        assert_eq!(of(Some("P0420 U0100"), ""), Finding::Cleared);
        assert_eq!(of(Some("P0420 U0100"), "P0420 U0100"), Finding::NotCleared);
        assert_eq!(of(Some("P0420"), "P0420 U0100"), Finding::NotCleared);
        assert_eq!(of(Some("P0420"), "U0100"), Finding::Cleared);
        assert_eq!(of(Some("P0420 U0100"), "U0100"), Finding::CannotTell);
        assert_eq!(of(Some(""), "U0100"), Finding::CannotTell);
        assert_eq!(of(Some(""), ""), Finding::Cleared);
        assert_eq!(of(None, ""), Finding::Cleared);
        assert_eq!(of(None, "U0100"), Finding::CannotTell);
    }

    #[test]
    fn one_fault() {
        let of = |after: &str| Finding::of(Some("P0420"), None, Some(&codes(after)));
        assert_eq!(of("U0100"), Finding::Cleared);
        assert_eq!(of("P0420 U0100"), Finding::NotCleared);
    }

    #[test]
    fn nobody_could_look() {
        assert_eq!(
            Finding::of(Some("P0420"), Some(&codes("P0420")), None),
            Finding::CannotTell
        );
    }

    #[test]
    fn codes_come_from_every_chunk() {
        let chunks = [
            json!({ "dtcs": [{ "code": "P0420" }] }),
            json!({ "ecu_address": "0x10" }),
            json!({ "dtcs": [{ "code": "U0100" }, { "code": "P0420" }] }),
        ];
        assert_eq!(fault_codes(&chunks), Some(codes("P0420 U0100")));
        assert_eq!(fault_codes(&[json!({ "dtcs": [] })]), Some(codes("")));
    }

    #[test]
    fn what_is_no_list_of_codes_says_nothing() {
        assert_eq!(fault_codes(&[]), None);
        assert_eq!(fault_codes(&[json!({ "value": "0x00" })]), None);
        assert_eq!(
            fault_codes(&[json!({ "dtcs": [{ "name": "P0420" }] })]),
            None
        );
    }
}
