//! Pagination of lists.

mod cursor;

use thiserror::Error;

pub use cursor::{
    AnomalyKey, AuditKey, CommandKey, KeyOf, MAX_CURSOR_LENGTH, NoKey, ResponseKey, SortKey,
    TimeKey, VehicleKey,
};

/// The request for a page of a list, which starts at a number of rows to skip or after a row.
///
/// `K` is the key by which the list is ordered; lists with [`NoKey`] do not have cursors. A page after a row
/// stays where it is while rows are inserted, and its cost does not grow with the rows before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<K = NoKey> {
    limit: i64,
    start: Start<K>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start<K> {
    First,
    Offset(i64),
    After(K),
}

/// A parameter of a page that is invalid. Values are not clamped, so that the client notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidPage {
    /// The limit is not 1 to 100.
    #[error("must be 1 to {}", Page::MAX_LIMIT)]
    Limit,
    /// The offset is negative.
    #[error("must be 0 or more")]
    Offset,
    /// The cursor is not one of this list.
    #[error("must be the cursor of a `next` link of this list")]
    Cursor,
    /// Both an offset and a cursor were given.
    #[error("cannot be combined with `offset`")]
    CursorWithOffset,
}

impl Page {
    /// The default limit.
    pub const DEFAULT_LIMIT: i64 = 50;
    /// The largest limit.
    pub const MAX_LIMIT: i64 = 100;
}

impl<K> Page<K> {
    /// Creates a page of `limit` rows, starting at row `offset`.
    ///
    /// # Errors
    ///
    /// [`InvalidPage`] if a value is out of range.
    pub fn new(limit: Option<i64>, offset: Option<i64>) -> Result<Self, InvalidPage> {
        let start = match offset {
            None => Start::First,
            Some(offset) if offset >= 0 => Start::Offset(offset),
            Some(_) => return Err(InvalidPage::Offset),
        };
        Self::starting_at(limit, start)
    }

    /// Creates a page of `limit` rows, starting after the row with the key.
    ///
    /// # Errors
    ///
    /// [`InvalidPage::Limit`] if the limit is out of range.
    pub fn after(limit: Option<i64>, key: K) -> Result<Self, InvalidPage> {
        Self::starting_at(limit, Start::After(key))
    }

    fn starting_at(limit: Option<i64>, start: Start<K>) -> Result<Self, InvalidPage> {
        let limit = limit.unwrap_or(Page::DEFAULT_LIMIT);
        if !(1..=Page::MAX_LIMIT).contains(&limit) {
            return Err(InvalidPage::Limit);
        }
        Ok(Self { limit, start })
    }

    /// Returns the maximum number of rows.
    pub fn limit(&self) -> i64 {
        self.limit
    }

    /// Returns the number of rows to skip.
    pub fn offset(&self) -> i64 {
        match self.start {
            Start::Offset(offset) => offset,
            Start::First | Start::After(_) => 0,
        }
    }

    /// Returns whether the client gave an offset.
    pub fn has_offset(&self) -> bool {
        matches!(self.start, Start::Offset(_))
    }

    /// Returns the key of the row after which the page starts.
    pub fn key(&self) -> Option<&K> {
        match &self.start {
            Start::After(key) => Some(key),
            Start::First | Start::Offset(_) => None,
        }
    }
}

impl<K: SortKey> Page<K> {
    /// Creates a page of `limit` rows, starting at row `offset` or after the row of `cursor`.
    ///
    /// # Errors
    ///
    /// [`InvalidPage`] if a value is out of range, the cursor is not one of this list, or both are given.
    pub fn from_query(
        limit: Option<i64>,
        offset: Option<i64>,
        cursor: Option<&str>,
    ) -> Result<Self, InvalidPage> {
        let Some(cursor) = cursor else {
            return Self::new(limit, offset);
        };
        if offset.is_some() {
            return Err(InvalidPage::CursorWithOffset);
        }
        let key = K::from_cursor(cursor).ok_or(InvalidPage::Cursor)?;
        Self::after(limit, key)
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// The rows of the page.
    pub items: Vec<T>,
    /// Number of rows in the list, at most [`MAX_TOTAL`].
    pub total: i64,
    /// Whether the list has more than [`MAX_TOTAL`] rows.
    pub total_is_capped: bool,
    /// Whether the list has rows after the page.
    pub has_more: bool,
}

/// The number of rows up to which a list is counted, so that the cost of a count is bounded.
pub const MAX_TOTAL: i64 = 10_000;

impl<T> Listing<T> {
    /// Creates a page of `limit` rows from up to one row more, which shows that there are more, and the
    /// number of rows in the list, of which up to one more than [`MAX_TOTAL`] were counted.
    pub fn new(mut items: Vec<T>, limit: i64, counted: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        Self {
            items,
            total: counted.min(MAX_TOTAL),
            total_is_capped: counted > MAX_TOTAL,
            has_more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_values_in_range() {
        let new = Page::<NoKey>::new;
        assert_eq!(new(None, None).unwrap().limit(), 50);
        assert!(new(Some(1), Some(0)).is_ok());
        assert!(new(Some(100), Some(i64::MAX)).is_ok());
        assert_eq!(new(Some(0), None), Err(InvalidPage::Limit));
        assert_eq!(new(Some(101), None), Err(InvalidPage::Limit));
        assert_eq!(new(None, Some(-1)), Err(InvalidPage::Offset));
    }

    #[test]
    fn starts_after_the_row_of_a_cursor() {
        let key = ResponseKey(7);
        let cursor = key.to_cursor();
        let page = Page::from_query(Some(3), None, Some(&cursor)).unwrap();
        assert_eq!(page, Page::after(Some(3), key).unwrap());
        assert_eq!((page.limit(), page.offset()), (3, 0));
        assert_eq!(page.key(), Some(&key));
    }

    #[test]
    fn rejects_a_cursor_with_an_offset_or_of_another_list() {
        let cursor = ResponseKey(7).to_cursor();
        let both = Page::<ResponseKey>::from_query(None, Some(0), Some(&cursor));
        assert_eq!(both, Err(InvalidPage::CursorWithOffset));
        let foreign = Page::<CommandKey>::from_query(None, None, Some(&cursor));
        assert_eq!(foreign, Err(InvalidPage::Cursor));
        let unlimited = Page::<ResponseKey>::from_query(Some(0), None, Some(&cursor));
        assert_eq!(unlimited, Err(InvalidPage::Limit));
    }

    #[test]
    fn drops_the_row_that_shows_that_there_are_more() {
        let page = Listing::new(vec![1, 2, 3], 2, 3);
        assert_eq!((page.items, page.has_more), (vec![1, 2], true));
        let page = Listing::new(vec![1, 2], 2, 2);
        assert_eq!((page.items, page.has_more), (vec![1, 2], false));
    }

    #[test]
    fn caps_the_total() {
        let total = |counted| {
            let page = Listing::<()>::new(Vec::new(), 1, counted);
            (page.total, page.total_is_capped)
        };
        assert_eq!(total(9_999), (9_999, false));
        assert_eq!(total(10_000), (10_000, false));
        assert_eq!(total(10_001), (10_000, true));
    }
}
