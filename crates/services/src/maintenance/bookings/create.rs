use chrono::{DateTime, Utc};
use serde_json::json;
use sovd_domain::{
    AnomalyId, AuditEntry, Booking, BookingId, BookingStatus, FieldError, Permission, VehicleId,
};
use sovd_storage::{
    Transaction, audit,
    fleet::vehicles,
    maintenance::{
        bookings,
        episodes::{self, Episode},
    },
};

use super::{Bookings, about, time::appointment};
use crate::{audit::refusals::Concealed, error::ServiceError, identity::caller::Caller};

/// A booking to be.
#[derive(Debug, Clone)]
pub struct NewBooking {
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// The workshop, which then has no other booking at that time.
    pub service_center_id: Option<String>,
    /// When the vehicle is to be there: in the future, at most two years ahead.
    pub appointment_time: DateTime<Utc>,
    /// What the customer wants the workshop to know.
    pub customer_notes: Option<String>,
    /// The anomaly of this vehicle that it is about.
    pub anomaly_event_id: Option<AnomalyId>,
}

impl Bookings {
    /// Books a service.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] to those who may not book, or not see anomalies and name one;
    /// [`ServiceError::Invalid`] when the time is not ahead or the anomaly is another vehicle's;
    /// [`ServiceError::NotFound`] when there is no such vehicle or anomaly that the caller may see;
    /// [`ServiceError::Conflict`] when the workshop has another booking at that time, or the anomaly is
    /// closed or booked.
    pub async fn create(&self, caller: &Caller, new: NewBooking) -> Result<Booking, ServiceError> {
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
        let booking = self.made(new)?;
        let vehicle_id = booking.vehicle_id;
        if !self
            .access
            .can_access_vehicle(&caller, vehicle_id, "booking.create")
            .await?
        {
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
            // Records the attempt if the vehicle has changed its owner meanwhile.
            self.access
                .can_access_vehicle(&caller, vehicle_id, "booking.create")
                .await?;
        }
        written.map(|()| booking)
    }

    fn made(&self, new: NewBooking) -> Result<Booking, ServiceError> {
        let now = self.access.now();
        let appointment_time = appointment(new.appointment_time, now)
            .map_err(|error| ServiceError::Invalid(vec![error]))?;
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

    /// Refuses an anomaly that is not the vehicle's. One that the caller may not know of is none, and
    /// the attempt is written down.
    async fn check_anomaly(
        &self,
        caller: &Caller,
        anomaly_id: AnomalyId,
        vehicle_id: VehicleId,
    ) -> Result<(), ServiceError> {
        let found = {
            let mut connection = self.access.connection().await?;
            let scope = caller.vehicles();
            episodes::vehicle_of_within(&mut connection, anomaly_id, &scope).await?
        };
        match found {
            Some(found) if found == vehicle_id => Ok(()),
            Some(_) => {
                let detail = "must be an anomaly of this vehicle";
                let errors = vec![FieldError::new("/anomaly_event_id", detail)];
                Err(ServiceError::Invalid(errors))
            }
            None => {
                let object = Concealed::Anomaly(anomaly_id);
                self.access
                    .record_missing(caller, object, "booking.create")
                    .await?;
                Err(UNKNOWN_ANOMALY)
            }
        }
    }

    async fn write(
        &self,
        transaction: &mut Transaction,
        caller: &Caller,
        booking: &Booking,
    ) -> Result<(), ServiceError> {
        let vehicle = vehicles::lock(transaction, booking.vehicle_id).await?;
        // It may have got another owner since the first look.
        let scope = caller.vehicles();
        if !vehicle.is_some_and(|vehicle| scope.covers(vehicle.vehicle_id, vehicle.owner_id)) {
            return Err(UNKNOWN_VEHICLE);
        }
        if let Some(anomaly_id) = booking.anomaly_event_id {
            keep_open(transaction, anomaly_id).await?;
        }
        bookings::insert(transaction, booking).await?;
        let entry = AuditEntry {
            details: json!({
                "service_center_id": booking.service_center_id,
                "appointment_time": booking.appointment_time,
                "anomaly_event_id": booking.anomaly_event_id,
            }),
            ..about(caller, "booking.create", booking)
        };
        audit::insert(transaction, &entry, booking.created_at).await?;
        // Last, so that others wait for the workshop's turn no longer than they must.
        self.take_slot(transaction, booking).await
    }
}

const UNKNOWN_VEHICLE: ServiceError = ServiceError::NotFound {
    what: "vehicle",
    pointer: Some("/vehicle_id"),
};

const UNKNOWN_ANOMALY: ServiceError = ServiceError::NotFound {
    what: "anomaly",
    pointer: Some("/anomaly_event_id"),
};

/// Makes sure that an anomaly is neither closed nor booked, and keeps it so until the transaction ends.
async fn keep_open(
    transaction: &mut Transaction,
    anomaly_id: AnomalyId,
) -> Result<(), ServiceError> {
    let reason = match episodes::lock(transaction, anomaly_id).await? {
        None => return Err(UNKNOWN_ANOMALY),
        Some(Episode::Closed) => "a workshop has looked at this anomaly already",
        Some(Episode::Open) if bookings::is_booked(transaction, anomaly_id).await? => {
            "another booking is about this anomaly"
        }
        Some(Episode::Open) => return Ok(()),
    };
    Err(ServiceError::Conflict {
        reason,
        pointer: Some("/anomaly_event_id"),
    })
}
