use std::fmt;

use crate::error::StackError;

/// Tells apart the test databases of two processes on one server.
///
/// It is part of each database's name, `sovd_test_<tag>_<number>`, and the key of an advisory
/// lock that its process holds for life: a database whose tag nobody holds is a leftover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnerTag(u64);

const PREFIX: &str = "sovd_test_";

impl OwnerTag {
    pub(crate) fn new() -> Result<Self, StackError> {
        Ok(Self(getrandom::u64()?))
    }

    /// A name of lower-case letters, digits and underscores, safe inside SQL.
    pub(crate) fn database(self, suffix: impl fmt::Display) -> String {
        format!("{PREFIX}{:016x}_{suffix}", self.0)
    }

    /// The tag in a database's name; `None` for every name that is not one of ours.
    pub(crate) fn of_database(name: &str) -> Option<Self> {
        let (tag, suffix) = name.strip_prefix(PREFIX)?.split_once('_')?;
        let ours = suffix
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let tag = u64::from_str_radix(tag, 16).ok().map(Self)?;
        (ours && tag.database(suffix) == name).then_some(tag)
    }

    pub(crate) fn lock_key(self) -> i64 {
        self.0.cast_signed()
    }

    /// From the two halves in which `pg_locks` shows the key.
    pub(crate) fn of_lock(high: u32, low: u32) -> Self {
        Self(u64::from(high) << 32 | u64::from(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_its_tag_back() {
        let tag = OwnerTag::new().unwrap();
        assert_eq!(OwnerTag::of_database(&tag.database("t3")), Some(tag));
    }

    #[test]
    fn foreign_names_have_none() {
        for name in [
            "postgres",
            "sovd_test_",
            "sovd_test_1_2",
            "sovd_test_00000000000000AB_1",
            "sovd_test_00000000000000ab_1\"; --",
        ] {
            assert_eq!(OwnerTag::of_database(name), None, "{name}");
        }
    }
}
