//! Pagination of lists.

use thiserror::Error;

/// A page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    limit: i64,
    offset: i64,
}

/// A limit or an offset that is out of range. Values are not clamped, so that the client notices.
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
    /// The default limit.
    pub const DEFAULT_LIMIT: i64 = 50;
    /// The largest limit.
    pub const MAX_LIMIT: i64 = 100;

    /// Creates a page of `limit` rows, starting at row `offset`.
    ///
    /// # Errors
    ///
    /// [`InvalidPage`] if a value is out of range.
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

    /// Returns the maximum number of rows.
    pub fn limit(self) -> i64 {
        self.limit
    }

    /// Returns the number of rows to skip.
    pub fn offset(self) -> i64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_values_in_range() {
        assert_eq!(Page::new(None, None).unwrap().limit(), 50);
        assert!(Page::new(Some(1), Some(0)).is_ok());
        assert!(Page::new(Some(100), Some(i64::MAX)).is_ok());
        assert_eq!(Page::new(Some(0), None), Err(InvalidPage::Limit));
        assert_eq!(Page::new(Some(101), None), Err(InvalidPage::Limit));
        assert_eq!(Page::new(None, Some(-1)), Err(InvalidPage::Offset));
    }
}
