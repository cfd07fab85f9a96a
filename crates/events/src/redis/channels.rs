use sovd_domain::CommandId;

/// The prefix that channel names omit, because other programs use the documented names.
const DEFAULT_PREFIX: &str = "sovd";

/// The channel names of one installation in a Redis that several installations may share.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    /// Empty, or the prefix and a colon.
    start: String,
    /// The channel of fleet events.
    pub(super) fleet_events: String,
    /// The channel of access changes.
    pub(super) access_changes: String,
}

impl Channels {
    pub(super) fn new(prefix: &str) -> Self {
        let start = if prefix == DEFAULT_PREFIX {
            String::new()
        } else {
            format!("{prefix}:")
        };
        Self {
            fleet_events: format!("{start}news"),
            access_changes: format!("{start}access"),
            start,
        }
    }

    /// Returns the channel of a command's events.
    pub(super) fn command(&self, command_id: CommandId) -> String {
        format!("{}response:{command_id}", self.start)
    }

    /// Returns the command whose events the channel carries, if any.
    pub(super) fn command_of(&self, channel: &str) -> Option<CommandId> {
        let id = channel.strip_prefix(&self.start)?;
        let id = id.strip_prefix("response:")?;
        id.parse().ok().map(CommandId)
    }
}
