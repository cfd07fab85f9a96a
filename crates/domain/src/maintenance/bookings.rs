//! Appointments of vehicles in workshops.

use chrono::{DateTime, Utc};

use crate::{
    ids::{AnomalyId, BookingId, VehicleId},
    maintenance::anomalies::Outcome,
    text_enum::text_enum,
};

/// An appointment of a vehicle in a workshop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// Identifies the booking.
    pub id: BookingId,
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// The workshop, by the name it is known by elsewhere; nothing while none is chosen.
    pub service_center_id: Option<String>,
    /// When the vehicle is to be there.
    pub appointment_time: DateTime<Utc>,
    /// How far it has come.
    pub status: BookingStatus,
    /// What the customer wants the workshop to know.
    pub customer_notes: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The anomaly that it is about.
    pub anomaly_event_id: Option<AnomalyId>,
    /// What the workshop found of the anomaly; nothing until it is completed.
    pub outcome: Option<Outcome>,
}

text_enum! {
    /// How far a booking has come.
    BookingStatus, "booking status" {
        /// It waits for the workshop's word.
        Pending = "PENDING",
        /// The workshop expects the vehicle.
        Confirmed = "CONFIRMED",
        /// The workshop has looked.
        Completed = "COMPLETED",
        /// It was called off.
        Cancelled = "CANCELLED",
    }
}

impl BookingStatus {
    /// Whether a booking may go from here to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Confirmed | Self::Cancelled)
                | (Self::Confirmed, Self::Completed | Self::Cancelled)
        )
    }

    /// Whether nothing comes after it.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_booking_moves_forward_or_is_called_off() {
        use BookingStatus::{Cancelled, Completed, Confirmed, Pending};
        let moves = [
            (Pending, Confirmed),
            (Confirmed, Completed),
            (Pending, Cancelled),
            (Confirmed, Cancelled),
        ];
        for from in BookingStatus::ALL {
            for to in BookingStatus::ALL {
                let is_allowed = moves.contains(&(*from, *to));
                assert_eq!(from.may_become(*to), is_allowed, "{from} to {to}");
            }
            let goes_on = moves.iter().any(|(start, _)| start == from);
            assert_eq!(from.has_ended(), !goes_on, "{from}");
        }
    }
}
