//! Anomalies, their detection, bookings and insights.

pub mod anomalies;
pub mod bookings;
pub mod detection;
pub mod insights;
