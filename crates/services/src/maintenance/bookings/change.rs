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

use super::{Bookings, UNKNOWN, about, time::appointment};
use crate::{differences::Differences, error::ServiceError, identity::caller::Caller};

/// What is to be changed of a booking; what is not set stays.
#[derive(Debug, Clone, Default)]
pub struct BookingChange {
    /// Another state.
    pub status: Option<BookingStatus>,
    /// Another time: in the future, at most two years ahead.
    pub appointment_time: Option<DateTime<Utc>>,
    /// What the customer wants the workshop to know now.
    pub customer_notes: Patch<String>,
    /// What the workshop found of the anomaly, when a booking about one is completed.
    pub outcome: Option<Outcome>,
}

impl BookingChange {
    fn is_empty(&self) -> bool {
        self.status.is_none() && self.has_only_status()
    }

    /// Whether it calls the booking off and does nothing else.
    fn is_cancellation(&self) -> bool {
        self.status == Some(BookingStatus::Cancelled) && self.has_only_status()
    }

    fn has_only_status(&self) -> bool {
        self.appointment_time.is_none() && self.customer_notes.is_keep() && self.outcome.is_none()
    }

    /// The change with its time as it is kept, if it makes sense whatever it is a change of.
    fn checked(self, now: DateTime<Utc>) -> Result<Self, ServiceError> {
        let mut errors = Vec::new();
        if self.outcome.is_some() && self.status != Some(BookingStatus::Completed) {
            let detail = "comes with the status COMPLETED only";
            errors.push(FieldError::new("/outcome", detail));
        }
        let mut appointment_time = None;
        if let Some(time) = self.appointment_time {
            match appointment(time, now) {
                Ok(time) => appointment_time = Some(time),
                Err(error) => errors.push(error),
            }
            if self.status.is_some_and(BookingStatus::has_ended) {
                let detail = "cannot come with a status that ends the booking";
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

    /// The booking as it is after the change, if it can become that.
    fn applied_to(self, old: &Booking) -> Result<Booking, ServiceError> {
        let status = self.status.unwrap_or(old.status);
        if self.status.is_some() && !old.status.may_become(status) {
            return Err(NO_WAY);
        }
        if self.appointment_time.is_some() && old.status.has_ended() {
            return Err(ServiceError::Conflict {
                reason: "the booking has ended",
                pointer: Some("/appointment_time"),
            });
        }
        if self.status == Some(BookingStatus::Completed) {
            let detail = match (old.anomaly_event_id, self.outcome) {
                (Some(_), None) => Some("is required: the booking is about an anomaly"),
                (None, Some(_)) => Some("must be left out: the booking is about no anomaly"),
                (Some(_), Some(_)) | (None, None) => None,
            };
            if let Some(detail) = detail {
                let errors = vec![FieldError::new("/outcome", detail)];
                return Err(ServiceError::Invalid(errors));
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
    /// Changes a booking. Completing one that is about an anomaly closes the anomaly. Confirming one takes
    /// the slot of its workshop, should it have none.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] to those who may not book, and to those who may not manage bookings
    /// and do more than call one off; [`ServiceError::NotFound`] when there is none that the caller may
    /// see; [`ServiceError::Invalid`] when nothing is to be changed, the time is not ahead, or the
    /// outcome is missing or out of place; [`ServiceError::Conflict`] when the booking is past this
    /// change, or its workshop has another one at that time.
    pub async fn change(
        &self,
        caller: &Caller,
        id: BookingId,
        change: BookingChange,
    ) -> Result<Booking, ServiceError> {
        caller.require(Permission::Book)?;
        if change.is_empty() {
            let detail =
                "must have at least one of status, appointment_time, customer_notes and outcome";
            return Err(ServiceError::Invalid(vec![FieldError::new("", detail)]));
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
                Err(self.missing(&caller, id, "booking.update").await?)
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
    ) -> Result<Booking, ServiceError> {
        let old = lock(transaction, caller, id).await?;
        let (is_moved, is_confirmed) = (
            change.appointment_time.is_some(),
            change.status == Some(BookingStatus::Confirmed),
        );
        let booking = change.applied_to(&old)?;
        write(transaction, &old, &booking, now).await?;
        let entry = AuditEntry {
            details: Value::Object(differences(&old, &booking)),
            ..about(caller, "booking.update", &booking)
        };
        audit::insert(transaction, &entry, now).await?;
        // Last, so that others wait for the workshop's turn no longer than they must.
        if booking.status.has_ended() {
            slots::free(transaction, id).await?;
        } else if is_moved || (is_confirmed && !slots::is_taken(transaction, id).await?) {
            self.take_slot(transaction, &booking).await?;
        }
        Ok(booking)
    }
}

const NO_WAY: ServiceError = ServiceError::Conflict {
    reason: "a booking goes from PENDING to CONFIRMED to COMPLETED, or is CANCELLED before that",
    pointer: Some("/status"),
};

/// The booking with the id, locked after its vehicle, if the caller may know of it.
async fn lock(
    transaction: &mut Transaction,
    caller: &Caller,
    id: BookingId,
) -> Result<Booking, ServiceError> {
    let scope = caller.vehicles();
    // A booking of another vehicle ends here too, so that it takes no more statements than none.
    let found = bookings::find_within(transaction, id, &scope).await?;
    let vehicle_id = found.ok_or(UNKNOWN)?.vehicle_id;
    let vehicle = vehicles::lock(transaction, vehicle_id).await?;
    if !vehicle.is_some_and(|vehicle| scope.covers(vehicle.vehicle_id, vehicle.owner_id)) {
        return Err(UNKNOWN);
    }
    bookings::lock(transaction, id).await?.ok_or(UNKNOWN)
}

/// Writes what is another than before, but the slot.
async fn write(
    transaction: &mut Transaction,
    old: &Booking,
    new: &Booking,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let id = old.id;
    // Before the state: what has ended is not moved.
    if new.appointment_time != old.appointment_time
        && !bookings::move_to(transaction, id, new.appointment_time).await?
    {
        return Err(NO_WAY);
    }
    if new.customer_notes != old.customer_notes {
        bookings::set_notes(transaction, id, new.customer_notes.as_deref()).await?;
    }
    if new.status != old.status
        && !bookings::change_status(transaction, id, old.status, new.status).await?
    {
        return Err(NO_WAY);
    }
    if new.outcome != old.outcome {
        close(transaction, new, now).await?;
    }
    Ok(())
}

/// Closes the anomaly of a booking with what the workshop found.
async fn close(
    transaction: &mut Transaction,
    booking: &Booking,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
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
    Err(ServiceError::Conflict {
        reason: "the anomaly is closed already",
        pointer: Some("/outcome"),
    })
}

/// What is another than before, for the audit trail; of the notes, which are the customer's words, only
/// that they are.
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
