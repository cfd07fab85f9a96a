//! Endpoints of anomalies, bookings and insights.

pub(crate) mod anomalies;
pub(crate) mod bookings;
pub(crate) mod insights;
