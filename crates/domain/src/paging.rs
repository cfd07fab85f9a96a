//! A window on a list.

use thiserror::Error;

/// Which part of a list to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    limit: i64,
    offset: i64,
}

/// A limit or an offset out of range; never clamped, so that a client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidPage {
    /// The limit is not 1 to 100.
    #[error("must be 1 to {}", Page::MAX_LIMIT)]
    Limit,
    /// The offset is negative.
    #[error("must be 0 or more")]
    Offset,
}

impl Page {
    /// The limit when none is given.
    pub const DEFAULT_LIMIT: i64 = 50;
    /// The largest limit.
    pub const MAX_LIMIT: i64 = 100;

    /// `limit` rows from row `offset` on.
    ///
    /// # Errors
    ///
    /// The one that is out of range.
    pub fn new(limit: Option<i64>, offset: Option<i64>) -> Result<Self, InvalidPage> {
        let limit = limit.unwrap_or(Self::DEFAULT_LIMIT);
        let offset = offset.unwrap_or(0);
        if !(1..=Self::MAX_LIMIT).contains(&limit) {
            return Err(InvalidPage::Limit);
        }
        if offset < 0 {
            return Err(InvalidPage::Offset);
        }
        Ok(Self { limit, offset })
    }

    /// How many rows at most.
    pub fn limit(self) -> i64 {
        self.limit
    }

    /// How many rows to pass over.
    pub fn offset(self) -> i64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_edges_and_nothing_past_them() {
        assert_eq!(Page::new(None, None).unwrap().limit(), 50);
        assert!(Page::new(Some(1), Some(0)).is_ok());
        assert!(Page::new(Some(100), Some(i64::MAX)).is_ok());
        assert_eq!(Page::new(Some(0), None), Err(InvalidPage::Limit));
        assert_eq!(Page::new(Some(101), None), Err(InvalidPage::Limit));
        assert_eq!(Page::new(None, Some(-1)), Err(InvalidPage::Offset));
    }
}
