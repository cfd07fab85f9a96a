use chrono::{DateTime, Utc};
use serde_json::json;
use sovd_domain::{
    AnomalyId, AuditEntry, Booking, BookingId, BookingStatus, FieldError, Permission, VehicleId,
};
use sovd_storage::{
    Transaction, audit,
    fleet::vehicles,
    maintenance::{
        anomalies, bookings,
        episodes::{self, Episode},
    },
};

use super::{Bookings, appointment_time, audit_entry};
use crate::{
    audit::refusals::Concealed,
    error::{Result, ServiceError},
    identity::caller::Caller,
};

const CREATE: &str = "booking.create";

const UNKNOWN_VEHICLE: ServiceError = ServiceError::not_found("vehicle", Some("/vehicle_id"));
const UNKNOWN_ANOMALY: ServiceError = ServiceError::not_found("anomaly", Some("/anomaly_event_id"));

/// A new booking.
#[derive(Debug, Clone)]
pub struct NewBooking {
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// The workshop, which must have no other booking at that time.
    pub service_center_id: Option<String>,
    /// When the appointment starts: in the future, at most two years ahead.
    pub appointment_time: DateTime<Utc>,
    /// The customer's notes for the workshop.
    pub customer_notes: Option<String>,
    /// The anomaly of this vehicle to be examined.
    pub anomaly_event_id: Option<AnomalyId>,
}

impl Bookings {
    /// Creates a booking.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] without the permission to book or, with an anomaly, to read anomalies;
    /// [`ServiceError::Conflict`] if the workshop has another booking at that time, or the anomaly is closed
    /// or has another booking.
    pub async fn create(&self, caller: &Caller, new: NewBooking) -> Result<Booking> {
        caller.require(Permission::Book)?;
        let caller = match new.anomaly_event_id {
            Some(anomaly_id) => {
                let target = format!("anomaly {anomaly_id}");
                self.access
                    .admit(caller, Permission::ReadAnomalies, target)
                    .await?
            }
            None => caller.clone(),
        };
        let booking = self.new_booking(new)?;
        let vehicle_id = booking.vehicle_id;
        let can_access = self.access.can_access_vehicle(&caller, vehicle_id, CREATE);
        if !can_access.await? {
            return Err(UNKNOWN_VEHICLE);
        }
        if let Some(anomaly_id) = booking.anomaly_event_id {
            self.check_anomaly(&caller, anomaly_id, vehicle_id).await?;
        }
        let write = async |transaction: &mut Transaction, _| {
            self.write(transaction, &caller, &booking).await
        };
        let written = self.access.change(&caller, write).await;
        if matches!(written, Err(ServiceError::NotFound { .. })) {
            // Records the attempt if the owner of the vehicle has changed concurrently.
            self.access
                .can_access_vehicle(&caller, vehicle_id, CREATE)
                .await?;
        }
        written.map(|()| booking)
    }

    fn new_booking(&self, new: NewBooking) -> Result<Booking> {
        let now = self.access.now();
        let appointment_time = appointment_time(new.appointment_time, now)?;
        Ok(Booking {
            id: BookingId(self.random.uuid()),
            vehicle_id: new.vehicle_id,
            service_center_id: new.service_center_id,
            appointment_time,
            status: BookingStatus::Pending,
            customer_notes: new.customer_notes,
            created_at: now,
            anomaly_event_id: new.anomaly_event_id,
            outcome: None,
        })
    }

    /// Checks that the anomaly is of the vehicle. Records the attempt if the caller cannot access it.
    async fn check_anomaly(
        &self,
        caller: &Caller,
        anomaly_id: AnomalyId,
        vehicle_id: VehicleId,
    ) -> Result<()> {
        let found = {
            let mut connection = self.access.connection().await?;
            let scope = caller.vehicle_scope();
            anomalies::vehicle_of_within(&mut connection, anomaly_id, &scope).await?
        };
        match found {
            Some(found) if found == vehicle_id => Ok(()),
            Some(_) => {
                let detail = "must be an anomaly of this vehicle";
                Err(FieldError::new("/anomaly_event_id", detail).into())
            }
            None => {
                let object = Concealed::Anomaly(anomaly_id);
                self.access.record_missing(caller, object, CREATE).await?;
                Err(UNKNOWN_ANOMALY)
            }
        }
    }

    async fn write(
        &self,
        transaction: &mut Transaction,
        caller: &Caller,
        booking: &Booking,
    ) -> Result<()> {
        let vehicle = vehicles::lock(transaction, booking.vehicle_id).await?;
        // The owner may have changed since the first check.
        let scope = caller.vehicle_scope();
        if !vehicle.is_some_and(|vehicle| scope.covers(vehicle.vehicle_id, vehicle.owner_id)) {
            return Err(UNKNOWN_VEHICLE);
        }
        if let Some(anomaly_id) = booking.anomaly_event_id {
            lock_open_anomaly(transaction, anomaly_id).await?;
        }
        bookings::insert(transaction, booking).await?;
        let entry = AuditEntry {
            details: json!({
                "service_center_id": booking.service_center_id,
                "appointment_time": booking.appointment_time,
                "anomaly_event_id": booking.anomaly_event_id,
            }),
            ..audit_entry(caller, CREATE, booking)
        };
        audit::insert(transaction, &entry, booking.created_at).await?;
        // Last, to hold the lock of the workshop as briefly as possible.
        self.take_slot(transaction, booking).await
    }
}

/// Checks that an anomaly is neither closed nor booked, and locks it until the transaction ends.
async fn lock_open_anomaly(transaction: &mut Transaction, anomaly_id: AnomalyId) -> Result<()> {
    let reason = match episodes::lock(transaction, anomaly_id).await? {
        None => return Err(UNKNOWN_ANOMALY),
        Some(Episode::Closed) => "the anomaly is closed already",
        Some(Episode::Open) if bookings::is_booked(transaction, anomaly_id).await? => {
            "the anomaly has another booking"
        }
        Some(Episode::Open) => return Ok(()),
    };
    Err(ServiceError::conflict(reason, Some("/anomaly_event_id")))
}
