use sovd_domain::{AnomalyId, AuditEntry, BookingId, CommandId, SessionId};
use sovd_storage::{
    Connection, StorageError, commands,
    identity::sessions,
    maintenance::{anomalies, bookings},
};

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
    pub(crate) const fn entity_type(self) -> &'static str {
        match self {
            Self::Anomaly(_) => "anomaly",
            Self::Booking(_) => "booking",
            Self::Command(_) => "command",
            Self::Session(_) => "session",
        }
    }

    /// Returns the audit entry about the attempt, or `None` if the object does not exist.
    pub(crate) async fn entry(
        self,
        connection: &mut Connection,
        caller: &Caller,
        action: &'static str,
    ) -> Result<Option<AuditEntry>, StorageError> {
        let about = |id| caller.audit_of(action, self.entity_type(), id);
        Ok(match self {
            Self::Anomaly(id) => {
                let vehicle_id = anomalies::vehicle_of(connection, id).await?;
                vehicle_id.map(|vehicle_id| AuditEntry {
                    vehicle_id: Some(vehicle_id),
                    ..about(id.0)
                })
            }
            Self::Booking(id) => {
                let booking = bookings::find(connection, id).await?;
                booking.map(|booking| AuditEntry {
                    vehicle_id: Some(booking.vehicle_id),
                    ..about(id.0)
                })
            }
            Self::Command(id) => {
                let command = commands::find(connection, id, None).await?;
                command.map(|command| AuditEntry {
                    vehicle_id: Some(command.vehicle_id),
                    command_id: Some(id),
                    ..about(id.0)
                })
            }
            Self::Session(id) => {
                let session = sessions::find(connection, id).await?;
                session.map(|_| about(id.0))
            }
        })
    }
}
