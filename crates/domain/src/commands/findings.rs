//! The findings of probes, which read the faults again after the outcome of a clear was lost.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::text_enum::text_enum;

text_enum! {
    /// The finding of a probe about a clear whose response was lost.
    Finding, "finding" {
        /// Faults to be erased were stored before the clear, and none of them is stored now.
        Cleared = "cleared",
        /// All faults to be erased are still stored.
        NotCleared = "not_cleared",
        /// Neither could be determined.
        CannotTell = "cannot_tell",
    }
}

impl Finding {
    /// Compares the faults that were read before and after a clear; `None` means that the read did
    /// not take place. The clear was to erase `fault`, or all faults if it is `None`. A fault without
    /// a failure type byte (SAE J2012, the `-1A` of `B1234-1A`) matches all failure types.
    pub fn of(
        fault: Option<&str>,
        before: Option<&BTreeSet<String>>,
        after: Option<&BTreeSet<String>>,
    ) -> Self {
        let Some(after) = after else {
            return Self::CannotTell;
        };
        let targets = |codes: &BTreeSet<String>| -> BTreeSet<String> {
            let is_target = |code: &&String| fault.is_none_or(|fault| matches_fault(code, fault));
            codes.iter().filter(is_target).cloned().collect()
        };
        let remaining = targets(after);
        // A single fault is known from the command even if there was no read before the clear.
        let stored = match (before, fault) {
            (Some(before), _) => targets(before),
            (None, Some(_)) if !remaining.is_empty() => return Self::NotCleared,
            (None, _) => return Self::CannotTell,
        };
        if stored.is_empty() {
            Self::CannotTell
        } else if stored.is_subset(&remaining) {
            Self::NotCleared
        } else if stored.is_disjoint(&remaining) {
            Self::Cleared
        } else {
            // The remaining faults may have been detected again since the clear.
            Self::CannotTell
        }
    }
}

fn matches_fault(code: &str, fault: &str) -> bool {
    code.strip_prefix(fault)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Returns the trouble codes in the chunks of a response, or `None` if no chunk has a fault list or a
/// fault has no code.
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

    use super::{
        Finding::{CannotTell, Cleared, NotCleared},
        *,
    };

    fn codes(text: &str) -> BTreeSet<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn of(fault: Option<&str>, before: Option<&str>, after: &str) -> Finding {
        Finding::of(fault, before.map(codes).as_ref(), Some(&codes(after)))
    }

    #[test]
    fn compares_all_faults() {
        for (before, after, expected) in [
            (Some("P0420 U0100"), "", Cleared),
            (Some("P0420"), "U0100", Cleared),
            (Some("P0420"), "P0420 U0100", NotCleared),
            (Some("P0420 U0100"), "U0100", CannotTell),
            (Some(""), "U0100", CannotTell),
            (Some(""), "", CannotTell),
            (None, "", CannotTell),
            (None, "U0100", CannotTell),
        ] {
            assert_eq!(of(None, before, after), expected, "{before:?}, {after}");
        }
    }

    #[test]
    fn compares_a_single_fault() {
        let of = |before, after| of(Some("P0420"), before, after);
        assert_eq!(of(Some("P0420 U0100"), "U0100"), Cleared);
        assert_eq!(of(Some("P0420"), "P0420 U0100"), NotCleared);
        assert_eq!(of(None, "P0420"), NotCleared);
        assert_eq!(of(None, "U0100"), CannotTell);
        assert_eq!(of(Some("U0100"), "U0100"), CannotTell);
    }

    #[test]
    fn a_fault_without_failure_type_matches_all_types() {
        let of = |fault, before, after| of(Some(fault), Some(before), after);
        assert_eq!(of("P0420", "P0420-11", "P0420-11"), NotCleared);
        assert_eq!(of("P0420", "P0420-11 P0420-12", ""), Cleared);
        assert_eq!(of("P0420", "P0420-11 P0420-12", "P0420-12"), CannotTell);
        assert_eq!(of("P0420-11", "P0420-11 P0420-12", "P0420-12"), Cleared);
        assert_eq!(of("P042", "P0420", "P0420"), CannotTell);
    }

    #[test]
    fn cannot_tell_without_a_read_after_the_clear() {
        let before = codes("P0420");
        assert_eq!(Finding::of(Some("P0420"), Some(&before), None), CannotTell);
    }

    #[test]
    fn reads_codes_from_every_chunk() {
        let chunks = [
            json!({ "dtcs": [{ "code": "P0420" }] }),
            json!({ "ecu_address": "0x10" }),
            json!({ "dtcs": [{ "code": "U0100" }, { "code": "P0420" }] }),
        ];
        assert_eq!(fault_codes(&chunks), Some(codes("P0420 U0100")));
        assert_eq!(fault_codes(&[json!({ "dtcs": [] })]), Some(codes("")));
    }

    #[test]
    fn rejects_responses_without_a_list_of_codes() {
        let without_code = json!({ "dtcs": [{ "name": "P0420" }] });
        for chunks in [vec![], vec![json!({ "value": "0x00" })], vec![without_code]] {
            assert_eq!(fault_codes(&chunks), None, "{chunks:?}");
        }
    }
}
