//! Appointments of vehicles in workshops.

mod change;
mod create;
mod time;

use std::{sync::Arc, time::Duration};

use sovd_domain::{AuditEntry, Booking, BookingId, Page, Permission, Random};
use sovd_storage::{
    StorageError, Transaction,
    maintenance::bookings::{self, slots},
};

use crate::{
    audit::refusals::Concealed,
    error::ServiceError,
    identity::{access::Access, caller::Caller},
};

pub use change::BookingChange;
pub use create::NewBooking;
pub use sovd_storage::maintenance::bookings::BookingFilter;

/// Books, moves, completes and calls off.
///
/// What is locked is locked in this order: the caller, the vehicle, the booking, the anomaly, the
/// workshop's turn. A deletion begins with the vehicle, so nothing that hangs on it is locked before.
pub struct Bookings {
    access: Access,
    random: Arc<dyn Random>,
    slot: Duration,
}

impl Bookings {
    /// A booking service; a booking takes `slot` of its workshop.
    pub fn new(access: Access, random: Arc<dyn Random>, slot: Duration) -> Self {
        Self {
            access,
            random,
            slot,
        }
    }

    /// One page of the bookings that match, by appointment, and how many match in all.
    ///
    /// # Errors
    ///
    /// When the caller may not see bookings.
    pub async fn list(
        &self,
        caller: &Caller,
        mut filter: BookingFilter,
        page: Page,
    ) -> Result<(Vec<Booking>, i64), ServiceError> {
        caller.require(Permission::ReadBookings)?;
        filter.among = caller.vehicles();
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(bookings::list(&mut connection, &filter, page).await?)
    }

    /// The booking with the id.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is none that the caller may see.
    pub async fn get(&self, caller: &Caller, id: BookingId) -> Result<Booking, ServiceError> {
        caller.require(Permission::ReadBookings)?;
        let found = {
            let mut connection = self.access.connection().await?;
            bookings::find_within(&mut connection, id, &caller.vehicles()).await?
        };
        match found {
            Some(booking) => Ok(booking),
            None => Err(self.missing(caller, id, "booking.read").await?),
        }
    }

    /// Returns that there is no such booking, and records the attempt if there is one that the caller may
    /// not see.
    async fn missing(
        &self,
        caller: &Caller,
        id: BookingId,
        action: &'static str,
    ) -> Result<ServiceError, ServiceError> {
        let object = Concealed::Booking(id);
        self.access.record_missing(caller, object, action).await?;
        Ok(UNKNOWN)
    }

    /// Takes the slot of a booking that is open, if it has a workshop.
    async fn take_slot(
        &self,
        transaction: &mut Transaction,
        booking: &Booking,
    ) -> Result<(), ServiceError> {
        let Some(service_center_id) = &booking.service_center_id else {
            return Ok(());
        };
        let start = booking.appointment_time;
        slots::take(
            transaction,
            booking.id,
            service_center_id,
            start,
            start + self.slot,
        )
        .await
        .map_err(taken)
    }
}

const UNKNOWN: ServiceError = ServiceError::NotFound {
    what: "booking",
    pointer: None,
};

/// The beginning of an audit line about a booking.
fn about(caller: &Caller, action: &'static str, booking: &Booking) -> AuditEntry {
    AuditEntry {
        entity_id: Some(booking.id.0),
        vehicle_id: Some(booking.vehicle_id),
        ..caller.audit(action, "booking")
    }
}

/// A slot that another booking has.
fn taken(error: StorageError) -> ServiceError {
    match error {
        StorageError::Overlap { .. } => ServiceError::Conflict {
            reason: "the workshop has another booking at that time",
            pointer: Some("/appointment_time"),
        },
        _ => error.into(),
    }
}
