pub(crate) mod anomalies;
pub(crate) mod detection;
pub(crate) mod insights;
