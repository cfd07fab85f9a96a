//! Looking again, when nobody knows whether a clearing ran.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::text_enum::text_enum;

text_enum! {
    /// What reading the faults again says about a clearing whose answer was lost.
    Finding, "finding" {
        /// Faults that it was to erase were stored before, and none of them is now.
        Cleared = "cleared",
        /// All that it was to erase is still stored.
        NotCleared = "not_cleared",
        /// Neither, or nobody could look.
        CannotTell = "cannot_tell",
    }
}

impl Finding {
    /// Compares the faults of two readings, `None` for one that did not take place. `fault` is the
    /// only one to erase; nothing when it was all of them. A fault without a failure type byte
    /// (SAE J2012, the `-1A` of `B1234-1A`) stands for all of its kinds.
    pub fn of(
        fault: Option<&str>,
        before: Option<&BTreeSet<String>>,
        after: Option<&BTreeSet<String>>,
    ) -> Self {
        let Some(after) = after else {
            return Self::CannotTell;
        };
        let targets = |codes: &BTreeSet<String>| -> BTreeSet<String> {
            let is_target = |code: &&String| fault.is_none_or(|fault| is_kind_of(code, fault));
            codes.iter().filter(is_target).cloned().collect()
        };
        let left = targets(after);
        // Without a look before, the one fault that was named is known all the same.
        let stored = match (before, fault) {
            (Some(before), _) => targets(before),
            (None, Some(_)) if !left.is_empty() => return Self::NotCleared,
            (None, _) => return Self::CannotTell,
        };
        if stored.is_empty() {
            Self::CannotTell
        } else if stored.is_subset(&left) {
            Self::NotCleared
        } else if stored.is_disjoint(&left) {
            Self::Cleared
        } else {
            // What is left may have come back since.
            Self::CannotTell
        }
    }
}

fn is_kind_of(code: &str, fault: &str) -> bool {
    code.strip_prefix(fault)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
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

    fn of(fault: Option<&str>, before: Option<&str>, after: &str) -> Finding {
        Finding::of(fault, before.map(codes).as_ref(), Some(&codes(after)))
    }

    #[test]
    fn all_faults() {
        assert_eq!(of(None, Some("P0420 U0100"), ""), Finding::Cleared);
        assert_eq!(of(None, Some("P0420"), "U0100"), Finding::Cleared);
        assert_eq!(of(None, Some("P0420"), "P0420 U0100"), Finding::NotCleared);
        for (before, after) in [
            (Some("P0420 U0100"), "U0100"),
            (Some(""), "U0100"),
            (Some(""), ""),
            (None, ""),
            (None, "U0100"),
        ] {
            assert_eq!(of(None, before, after), Finding::CannotTell, "{before:?}");
        }
    }

    #[test]
    fn one_fault() {
        let of = |before, after| of(Some("P0420"), before, after);
        assert_eq!(of(Some("P0420 U0100"), "U0100"), Finding::Cleared);
        assert_eq!(of(Some("P0420"), "P0420 U0100"), Finding::NotCleared);
        assert_eq!(of(None, "P0420"), Finding::NotCleared);
        assert_eq!(of(None, "U0100"), Finding::CannotTell);
        assert_eq!(of(Some("U0100"), "U0100"), Finding::CannotTell);
    }

    #[test]
    fn a_fault_stands_for_its_kinds() {
        let of = |fault, before, after| of(Some(fault), Some(before), after);
        assert_eq!(of("P0420", "P0420-11", "P0420-11"), Finding::NotCleared);
        assert_eq!(of("P0420", "P0420-11 P0420-12", ""), Finding::Cleared);
        assert_eq!(
            of("P0420", "P0420-11 P0420-12", "P0420-12"),
            Finding::CannotTell
        );
        assert_eq!(
            of("P0420-11", "P0420-11 P0420-12", "P0420-12"),
            Finding::Cleared
        );
        assert_eq!(of("P042", "P0420", "P0420"), Finding::CannotTell);
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
