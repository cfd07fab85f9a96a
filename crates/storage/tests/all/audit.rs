pub(crate) mod chain;
pub(crate) mod entries;
pub(crate) mod guards;
pub(crate) mod list;
