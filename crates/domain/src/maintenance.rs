//! Anomalies, the rules that detect them, bookings and insights.

pub(crate) mod anomalies;
pub(crate) mod bookings;
pub(crate) mod insights;
pub mod rules;
