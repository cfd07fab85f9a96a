//! Workshop bookings.

mod change;
mod create;
mod time;

use std::{sync::Arc, time::Duration};

use derive_more::Constructor;
use sovd_domain::{AuditEntry, Booking, BookingId, Listing, Page, Permission, Random};
use sovd_storage::{
    StorageError, Transaction,
    maintenance::bookings::{self, slots},
};

use crate::{
    audit::refusals::Concealed,
    error::{Result, ServiceError},
    identity::{access::Access, caller::Caller},
};

use time::appointment_time;

pub use change::BookingChange;
pub use create::NewBooking;
pub use sovd_storage::maintenance::bookings::BookingFilter;

const UNKNOWN: ServiceError = ServiceError::not_found("booking", None);

/// Creates, changes and lists bookings.
///
/// Locks are acquired in this order: credential, vehicle, booking, anomaly, workshop. The deletion of a
/// vehicle locks the vehicle before everything that refers to it, too.
#[derive(Constructor)]
pub struct Bookings {
    access: Access,
    random: Arc<dyn Random>,
    /// The duration for which a booking occupies its workshop.
    slot: Duration,
}

impl Bookings {
    /// Returns a page of the matching bookings that the caller can access, ordered by appointment.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &BookingFilter,
        page: Page,
    ) -> Result<Listing<Booking>> {
        caller.require(Permission::ReadBookings)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(bookings::list(&mut connection, filter, &caller.vehicle_scope(), page).await?)
    }

    /// Returns the booking with the id.
    pub async fn get(&self, caller: &Caller, id: BookingId) -> Result<Booking> {
        caller.require(Permission::ReadBookings)?;
        let found = {
            let mut connection = self.access.connection().await?;
            bookings::find_within(&mut connection, id, &caller.vehicle_scope()).await?
        };
        if let Some(booking) = found {
            return Ok(booking);
        }
        let object = Concealed::Booking(id);
        Err(self.access.missing(caller, object, "booking.read").await)
    }

    /// Takes the slot of an open booking if it has a workshop.
    async fn take_slot(&self, transaction: &mut Transaction, booking: &Booking) -> Result<()> {
        let Some(service_center_id) = &booking.service_center_id else {
            return Ok(());
        };
        let start = booking.appointment_time;
        slots::assign(
            transaction,
            booking.id,
            service_center_id,
            start,
            start + self.slot,
        )
        .await
        .map_err(|error| match error {
            StorageError::Overlap { .. } => ServiceError::conflict(
                "the workshop has another booking at that time",
                Some("/appointment_time"),
            ),
            _ => error.into(),
        })
    }
}

fn audit_entry(caller: &Caller, action: &'static str, booking: &Booking) -> AuditEntry {
    AuditEntry {
        vehicle_id: Some(booking.vehicle_id),
        ..caller.audit_of(action, "booking", booking.id.0)
    }
}
