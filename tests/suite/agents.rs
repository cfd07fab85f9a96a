pub(crate) mod changes;
pub(crate) mod policy;
pub(crate) mod reading;
pub(crate) mod records;
pub(crate) mod suspensions;
