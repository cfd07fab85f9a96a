use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sovd_domain::{
    AuditEntry, Booking, BookingId, BookingStatus, Closure, FieldError, Outcome, Patch, Permission,
};
use sovd_storage::{
    Transaction, audit,
    fleet::vehicles,
    maintenance::{
        bookings::{self, slots},
        episodes,
    },
};

use super::{Bookings, UNKNOWN, audit_entry};
use crate::{
    audit::refusals::Concealed,
    differences::Differences,
    error::{Result, ServiceError},
    identity::caller::Caller,
};

const UPDATE: &str = "booking.update";

const INVALID_TRANSITION: ServiceError = ServiceError::conflict(
    "a booking goes from PENDING to CONFIRMED to COMPLETED, or is CANCELLED before that",
    Some("/status"),
);

/// Changes to a booking; unset fields stay unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BookingChange {
    /// The new state.
    pub status: Option<BookingStatus>,
    /// The new start: in the future, at most two years ahead.
    pub appointment_time: Option<DateTime<Utc>>,
    /// The customer's notes for the workshop.
    pub customer_notes: Patch<String>,
    /// The workshop's finding, required to complete a booking with an anomaly.
    pub outcome: Option<Outcome>,
}

impl BookingChange {
    /// Returns whether the change only cancels the booking.
    fn is_cancellation(&self) -> bool {
        let cancellation = Self {
            status: Some(BookingStatus::Cancelled),
            ..Self::default()
        };
        *self == cancellation
    }

    /// Validates what does not depend on the booking, and truncates the time as it is stored.
    fn checked(self, now: DateTime<Utc>) -> Result<Self> {
        let mut errors = Vec::new();
        if self.outcome.is_some() && self.status != Some(BookingStatus::Completed) {
            let detail = "is accepted only with the status COMPLETED";
            errors.push(FieldError::new("/outcome", detail));
        }
        let mut appointment_time = None;
        if let Some(time) = self.appointment_time {
            match super::appointment_time(time, now) {
                Ok(time) => appointment_time = Some(time),
                Err(error) => errors.push(error),
            }
            if self.status.is_some_and(BookingStatus::has_ended) {
                let detail = "is not accepted with a status that ends the booking";
                errors.push(FieldError::new("/appointment_time", detail));
            }
        }
        if errors.is_empty() {
            Ok(Self {
                appointment_time,
                ..self
            })
        } else {
            Err(ServiceError::Invalid(errors))
        }
    }

    fn applied_to(self, old: &Booking) -> Result<Booking> {
        let status = self.status.unwrap_or(old.status);
        if self.status.is_some() && !old.status.may_become(status) {
            return Err(INVALID_TRANSITION);
        }
        if self.appointment_time.is_some() && old.status.has_ended() {
            return Err(ServiceError::conflict(
                "the booking has ended",
                Some("/appointment_time"),
            ));
        }
        if self.status == Some(BookingStatus::Completed) {
            let detail = match (old.anomaly_event_id, self.outcome) {
                (Some(_), None) => Some("is required: the booking refers to an anomaly"),
                (None, Some(_)) => {
                    Some("must be omitted: the booking does not refer to an anomaly")
                }
                (Some(_), Some(_)) | (None, None) => None,
            };
            if let Some(detail) = detail {
                return Err(FieldError::new("/outcome", detail).into());
            }
        }
        Ok(Booking {
            status,
            appointment_time: self.appointment_time.unwrap_or(old.appointment_time),
            customer_notes: self.customer_notes.applied_to(old.customer_notes.clone()),
            outcome: self.outcome.or(old.outcome),
            ..old.clone()
        })
    }
}

impl Bookings {
    /// Changes a booking. Completing a booking with an anomaly closes the anomaly. Confirming a booking
    /// without a slot takes one.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] without the permission to book or, except for a cancellation, to manage
    /// bookings; [`ServiceError::Conflict`] if the state of the booking does not allow the change, or its
    /// workshop has another booking at that time.
    pub async fn change(
        &self,
        caller: &Caller,
        id: BookingId,
        change: BookingChange,
    ) -> Result<Booking> {
        caller.require(Permission::Book)?;
        if change == BookingChange::default() {
            let detail =
                "must have at least one of status, appointment_time, customer_notes and outcome";
            return Err(FieldError::new("", detail).into());
        }
        let caller = if change.is_cancellation() {
            caller.clone()
        } else {
            let target = format!("booking {id}");
            self.access
                .admit(caller, Permission::ManageBookings, target)
                .await?
        };
        let change = change.checked(self.access.now())?;
        let update = async |transaction: &mut Transaction, now| {
            self.update(transaction, &caller, id, change, now).await
        };
        match self.access.change(&caller, update).await {
            Err(ServiceError::NotFound { .. }) => {
                let object = Concealed::Booking(id);
                Err(self.access.missing(&caller, object, UPDATE).await)
            }
            changed => changed,
        }
    }

    async fn update(
        &self,
        transaction: &mut Transaction,
        caller: &Caller,
        id: BookingId,
        change: BookingChange,
        now: DateTime<Utc>,
    ) -> Result<Booking> {
        let old = lock(transaction, caller, id).await?;
        let (is_moved, is_confirmed) = (
            change.appointment_time.is_some(),
            change.status == Some(BookingStatus::Confirmed),
        );
        let booking = change.applied_to(&old)?;
        write(transaction, &old, &booking, now).await?;
        let entry = AuditEntry {
            details: Value::Object(differences(&old, &booking)),
            ..audit_entry(caller, UPDATE, &booking)
        };
        audit::insert(transaction, &entry, now).await?;
        // Last, to hold the lock of the workshop as briefly as possible.
        if booking.status.has_ended() {
            slots::delete(transaction, id).await?;
        } else if is_moved || (is_confirmed && !slots::exists(transaction, id).await?) {
            self.take_slot(transaction, &booking).await?;
        }
        Ok(booking)
    }
}

/// Locks the vehicle and then the booking, if the caller can access them.
async fn lock(transaction: &mut Transaction, caller: &Caller, id: BookingId) -> Result<Booking> {
    let scope = caller.vehicle_scope();
    // Takes the same number of statements for an unknown and a concealed booking.
    let found = bookings::find_within(transaction, id, &scope).await?;
    let vehicle_id = found.ok_or(UNKNOWN)?.vehicle_id;
    let vehicle = vehicles::lock(transaction, vehicle_id).await?;
    if !vehicle.is_some_and(|vehicle| scope.covers(vehicle.vehicle_id, vehicle.owner_id)) {
        return Err(UNKNOWN);
    }
    bookings::lock(transaction, id).await?.ok_or(UNKNOWN)
}

/// Writes the differences, except for the slot.
async fn write(
    transaction: &mut Transaction,
    old: &Booking,
    new: &Booking,
    now: DateTime<Utc>,
) -> Result<()> {
    let id = old.id;
    // Before the state, because a booking that has ended cannot be moved.
    if new.appointment_time != old.appointment_time
        && !bookings::move_to(transaction, id, new.appointment_time).await?
    {
        return Err(INVALID_TRANSITION);
    }
    if new.customer_notes != old.customer_notes {
        bookings::set_notes(transaction, id, new.customer_notes.as_deref()).await?;
    }
    if new.status != old.status
        && !bookings::change_status(transaction, id, old.status, new.status).await?
    {
        return Err(INVALID_TRANSITION);
    }
    if new.outcome != old.outcome {
        close(transaction, new, now).await?;
    }
    Ok(())
}

/// Closes the anomaly of a booking with the workshop's finding.
async fn close(transaction: &mut Transaction, booking: &Booking, now: DateTime<Utc>) -> Result<()> {
    let (Some(anomaly_id), Some(outcome)) = (booking.anomaly_event_id, booking.outcome) else {
        return Ok(());
    };
    let closure = Closure {
        outcome,
        closed_at: now,
    };
    episodes::lock(transaction, anomaly_id).await?;
    let is_closed = bookings::set_outcome(transaction, booking.id, outcome).await?
        && episodes::close(transaction, anomaly_id, booking.vehicle_id, closure).await?;
    if is_closed {
        return Ok(());
    }
    Err(ServiceError::conflict(
        "the anomaly has already been closed",
        Some("/outcome"),
    ))
}

/// Returns the differences for the audit trail, without the text of the customer's notes.
fn differences(old: &Booking, new: &Booking) -> Map<String, Value> {
    Differences::default()
        .compare("status", &old.status, &new.status)
        .compare(
            "appointment_time",
            &old.appointment_time,
            &new.appointment_time,
        )
        .compare("outcome", &old.outcome, &new.outcome)
        .conceal("customer_notes", old.customer_notes != new.customer_notes)
        .into_fields()
}
