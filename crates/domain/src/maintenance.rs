//! Anomalies, the rules that detect them, bookings and insights.

pub mod anomalies;
pub mod bookings;
pub mod insights;
pub mod rules;
