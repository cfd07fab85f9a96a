use derive_more::{Display, FromStr};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($( $(#[$meta:meta])* $name:ident ),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            Display, FromStr,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);
    )+};
}

ids! {
    /// The id of a user.
    UserId,
    /// The id of a vehicle.
    VehicleId,
    /// The id of a command.
    CommandId,
    /// The id of a chunk of a response.
    ResponseId,
    /// The id of an anomaly.
    AnomalyId,
    /// The id of a diagnosis.
    DiagnosisId,
    /// The id of a workshop booking.
    BookingId,
    /// The id of an insight.
    InsightId,
    /// The id of an agent's action.
    AgentActionId,
    /// The id of an agent's suspension.
    SuspensionId,
    /// The id of a session.
    SessionId,
}
