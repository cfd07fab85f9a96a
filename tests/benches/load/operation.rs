use clap::ValueEnum;

/// What a user of the load does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operation {
    /// Submits a command to a connected vehicle, which the server executes meanwhile.
    Submit,
    /// Submits a command to a disconnected vehicle.
    SubmitOffline,
    /// Submits a command and follows it over a WebSocket until it is completed.
    Lifecycle,
    /// Reads the first page of the vehicles.
    Vehicles,
}

impl Operation {
    pub(crate) const ALL: [Self; 4] = [
        Self::Submit,
        Self::SubmitOffline,
        Self::Lifecycle,
        Self::Vehicles,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::SubmitOffline => "submit-offline",
            Self::Lifecycle => "lifecycle",
            Self::Vehicles => "vehicles",
        }
    }

    /// The least rate, relative to that of the hand-written SQL with 16 clients.
    pub(crate) fn target(self) -> Option<f64> {
        match self {
            Self::Submit | Self::SubmitOffline => Some(0.8),
            Self::Lifecycle => Some(1.0),
            Self::Vehicles => Some(0.7),
        }
    }
}
