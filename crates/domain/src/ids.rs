//! A type for the id of each entity.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(
    /// The id of a user.
    UserId
);
id!(
    /// The id of a vehicle.
    VehicleId
);
id!(
    /// The id of a command.
    CommandId
);
id!(
    /// The id of a chunk of a response.
    ResponseId
);
id!(
    /// The id of an anomaly.
    AnomalyId
);
id!(
    /// The id of a diagnosis.
    DiagnosisId
);
id!(
    /// The id of a workshop booking.
    BookingId
);
id!(
    /// The id of an insight.
    InsightId
);
id!(
    /// The id of an agent's action.
    AgentActionId
);
id!(
    /// The id of an agent's suspension.
    SuspensionId
);
id!(
    /// The id of a session.
    SessionId
);
