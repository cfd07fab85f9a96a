//! Anomalies, diagnoses, bookings and insights.

pub mod anomalies;
pub mod bookings;
pub mod detection_jobs;
pub mod detections;
pub mod diagnoses;
pub mod episodes;
pub mod insights;
