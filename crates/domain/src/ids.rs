//! A type for every id, so that a vehicle is never looked up by a command's.

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
    /// A user.
    UserId
);
id!(
    /// A vehicle.
    VehicleId
);
id!(
    /// A command sent to a vehicle.
    CommandId
);
id!(
    /// One chunk of a vehicle's answer.
    ResponseId
);
id!(
    /// Something that is not as it should be with a vehicle.
    AnomalyId
);
id!(
    /// What somebody takes for the cause of an anomaly.
    DiagnosisId
);
id!(
    /// An appointment of a vehicle in a workshop.
    BookingId
);
id!(
    /// What failures tell those who make the vehicles.
    InsightId
);
id!(
    /// Something that an agent did or tried.
    AgentActionId
);
id!(
    /// An agent's ban from a kind of action.
    SuspensionId
);
id!(
    /// A login, from its first token to its last.
    SessionId
);
