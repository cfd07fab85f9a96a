use serde::Deserialize;
use sovd_domain::CommandId;

use crate::broadcast::Broadcastable;

/// An untrusted message about what may have changed in the fleet. Any client of Redis can send it, so it
/// must be looked up in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetEventHint {
    /// The state of a command.
    Command(CommandId),
    /// Anything, because hints were lost.
    Unknown,
}

impl Broadcastable for FleetEventHint {
    const MISSED: Self = Self::Unknown;
}

#[derive(Deserialize)]
struct Fields {
    event: Kind,
    command_id: Option<CommandId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Command,
    Vehicle,
    Resync,
}

impl FleetEventHint {
    /// Parses a hint from the JSON of a [`FleetEvent`](sovd_domain::FleetEvent). Events of vehicles yield
    /// `None`, because every process receives them from the database.
    pub(crate) fn from_json(payload: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        let fields: Fields = serde_json::from_slice(payload)?;
        match (fields.event, fields.command_id) {
            (Kind::Command, Some(command_id)) => Ok(Some(Self::Command(command_id))),
            (Kind::Command, None) => Err(serde::de::Error::missing_field("command_id")),
            (Kind::Vehicle, _) => Ok(None),
            (Kind::Resync, _) => Ok(Some(Self::Unknown)),
        }
    }
}
