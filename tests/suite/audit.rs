pub(crate) mod entries;
pub(crate) mod refusals;
