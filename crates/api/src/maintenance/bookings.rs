//! `/api/v1/bookings`

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sovd_domain::{Booking, Outcome};
use utoipa::ToSchema;
use uuid::Uuid;

/// An appointment of a vehicle at a workshop.
#[derive(Serialize, ToSchema)]
#[schema(as = Booking)]
pub(crate) struct BookingBody {
    /// Identifies the booking.
    id: Uuid,
    /// The vehicle.
    vehicle_id: Uuid,
    /// The workshop; null if none was chosen. It cannot be changed.
    #[schema(example = "center-berlin")]
    service_center_id: Option<String>,
    /// When the appointment starts.
    appointment_time: DateTime<Utc>,
    /// `PENDING`, `CONFIRMED`, `COMPLETED` or `CANCELLED`.
    #[schema(example = "PENDING")]
    status: &'static str,
    /// The customer's notes for the workshop.
    customer_notes: Option<String>,
    /// When the booking was created.
    created_at: DateTime<Utc>,
    /// The anomaly to be examined; null if there is none.
    anomaly_event_id: Option<Uuid>,
    /// The workshop's finding about the anomaly: `confirmed`, `no_fault_found` or `other`; null until
    /// the booking is completed.
    outcome: Option<&'static str>,
}

impl From<Booking> for BookingBody {
    fn from(booking: Booking) -> Self {
        Self {
            id: booking.id.0,
            vehicle_id: booking.vehicle_id.0,
            service_center_id: booking.service_center_id,
            appointment_time: booking.appointment_time,
            status: booking.status.as_str(),
            customer_notes: booking.customer_notes,
            created_at: booking.created_at,
            anomaly_event_id: booking.anomaly_event_id.map(|id| id.0),
            outcome: booking.outcome.map(Outcome::as_str),
        }
    }
}
