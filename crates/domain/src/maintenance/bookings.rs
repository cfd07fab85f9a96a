use chrono::{DateTime, Utc};

use crate::{
    ids::{AnomalyId, BookingId, VehicleId},
    maintenance::anomalies::Outcome,
    text_enum::text_enum,
};

/// An appointment of a vehicle at a workshop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// Identifies the booking.
    pub id: BookingId,
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// The workshop's identifier in an external system; `None` if none is chosen.
    pub service_center_id: Option<String>,
    /// When the appointment starts.
    pub appointment_time: DateTime<Utc>,
    /// The state of the booking.
    pub status: BookingStatus,
    /// The customer's notes for the workshop.
    pub customer_notes: Option<String>,
    /// When the booking was created.
    pub created_at: DateTime<Utc>,
    /// The anomaly to be examined, if any.
    pub anomaly_event_id: Option<AnomalyId>,
    /// The workshop's finding about the anomaly; `None` until the booking is completed.
    pub outcome: Option<Outcome>,
}

text_enum! {
    /// The state of a booking.
    BookingStatus, "booking status" {
        /// The workshop has not confirmed it yet.
        Pending = "PENDING",
        /// The workshop expects the vehicle.
        Confirmed = "CONFIRMED",
        /// The workshop has examined the vehicle.
        Completed = "COMPLETED",
        /// The booking was cancelled.
        Cancelled = "CANCELLED",
    }
}

impl BookingStatus {
    /// Returns whether a booking may change from this state to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Confirmed | Self::Cancelled)
                | (Self::Confirmed, Self::Completed | Self::Cancelled)
        )
    }

    /// Returns whether this state is final.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_only_the_four_transitions() {
        use BookingStatus::{Cancelled, Completed, Confirmed, Pending};
        let transitions = [
            (Pending, Confirmed),
            (Confirmed, Completed),
            (Pending, Cancelled),
            (Confirmed, Cancelled),
        ];
        for from in BookingStatus::ALL {
            for to in BookingStatus::ALL {
                let is_allowed = transitions.contains(&(*from, *to));
                assert_eq!(from.may_become(*to), is_allowed, "{from} to {to}");
            }
            let has_next = transitions.iter().any(|(start, _)| start == from);
            assert_eq!(from.has_ended(), !has_next, "{from}");
        }
    }
}
