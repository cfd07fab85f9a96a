use sovd_domain::{AnomalyId, AuditEntry, BookingId, CommandId, SessionId, VehicleScope};
use sovd_storage::{
    Connection, StorageError, commands,
    identity::sessions,
    maintenance::{anomalies, bookings},
};
use uuid::Uuid;

use crate::identity::caller::Caller;

/// A requested object that the caller may not see or that does not exist.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Concealed {
    Anomaly(AnomalyId),
    Booking(BookingId),
    Command(CommandId),
    Session(SessionId),
}

impl Concealed {
    /// Returns the type and the id in the audit trail.
    pub(crate) const fn entity(self) -> (&'static str, Uuid) {
        match self {
            Self::Anomaly(id) => ("anomaly", id.0),
            Self::Booking(id) => ("booking", id.0),
            Self::Command(id) => ("command", id.0),
            Self::Session(id) => ("session", id.0),
        }
    }

    /// Returns the audit entry about the attempt, or `None` if the object does not exist.
    pub(crate) async fn entry(
        self,
        connection: &mut Connection,
        caller: &Caller,
        action: &'static str,
    ) -> Result<Option<AuditEntry>, StorageError> {
        let (entity_type, id) = self.entity();
        let mut entry = caller.audit_of(action, entity_type, id);
        entry.vehicle_id = match self {
            Self::Anomaly(id) => {
                anomalies::vehicle_of_within(connection, id, &VehicleScope::All).await?
            }
            Self::Booking(id) => {
                let booking = bookings::find_within(connection, id, &VehicleScope::All).await?;
                booking.map(|booking| booking.vehicle_id)
            }
            Self::Command(id) => {
                entry.command_id = Some(id);
                let command = commands::find(connection, id, None).await?;
                command.map(|command| command.vehicle_id)
            }
            Self::Session(id) => {
                let session = sessions::find(connection, id).await?;
                return Ok(session.map(|_| entry));
            }
        };
        Ok(entry.vehicle_id.is_some().then_some(entry))
    }
}
