//! The limits of PostgreSQL's `text` and `jsonb`, which cannot contain U+0000.

/// The rule that text must follow to be stored, for error messages.
pub const RULE: &str = "must not contain U+0000";

const NUL: char = '\0';

/// Whether `text` can be stored unchanged.
pub fn is_storable(text: &str) -> bool {
    !text.contains(NUL)
}

/// Removes what cannot be stored from a text that no one can correct, such as a vehicle's.
pub fn storable(text: &str) -> String {
    text.replace(NUL, "")
}
