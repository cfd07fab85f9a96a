use crate::arguments::Part;

/// What a user of the load does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Submits a command to a connected vehicle, which the server executes meanwhile.
    Submit,
    /// Submits a command to a disconnected vehicle.
    SubmitOffline,
    /// Submits a command and follows it over a WebSocket until it is completed.
    Lifecycle,
    /// Reads the first page of the vehicles.
    Vehicles,
    /// Logs in with a password hash of cost 12.
    Login,
    /// Reads the first page of 1,000 commands.
    Commands,
    /// Reads the first page of 1,000,000 commands.
    ManyCommands,
}

impl Operation {
    pub(crate) const ALL: [Self; 7] = [
        Self::Submit,
        Self::SubmitOffline,
        Self::Lifecycle,
        Self::Vehicles,
        Self::Login,
        Self::Commands,
        Self::ManyCommands,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::SubmitOffline => "submit-offline",
            Self::Lifecycle => "lifecycle",
            Self::Vehicles => "vehicles",
            Self::Login => "login",
            Self::Commands => "commands-1k",
            Self::ManyCommands => "commands-1m",
        }
    }

    /// Returns the part of the benchmark that measures the operation.
    pub(crate) fn part(self) -> Part {
        match self {
            Self::Submit => Part::Submit,
            Self::SubmitOffline => Part::SubmitOffline,
            Self::Lifecycle => Part::Lifecycle,
            Self::Vehicles => Part::Vehicles,
            Self::Login => Part::Login,
            Self::Commands | Self::ManyCommands => Part::Commands,
        }
    }

    /// The least rate of several users, relative to the yardstick.
    pub(crate) fn target(self) -> Option<f64> {
        match self {
            Self::Submit | Self::SubmitOffline => Some(0.8),
            Self::Lifecycle => Some(1.0),
            Self::Vehicles => Some(0.7),
            Self::Login => Some(0.9),
            Self::Commands | Self::ManyCommands => None,
        }
    }
}
