use sovd_domain::CommandId;

/// The prefix whose channels have no prefix: other programs read these by the documented names.
const DEFAULT_PREFIX: &str = "sovd";

/// The names of one installation's channels in a Redis that several may share.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    /// Empty, or the prefix and a colon.
    start: String,
    /// The channel of changes in the fleet.
    pub(super) news: String,
    /// The channel of rights that have to be looked up again.
    pub(super) access: String,
}

impl Channels {
    pub(super) fn new(prefix: &str) -> Self {
        let start = if prefix == DEFAULT_PREFIX {
            String::new()
        } else {
            format!("{prefix}:")
        };
        Self {
            news: format!("{start}news"),
            access: format!("{start}access"),
            start,
        }
    }

    /// The channel of one command's events.
    pub(super) fn command(&self, command_id: CommandId) -> String {
        format!("{}response:{command_id}", self.start)
    }

    /// The command whose events the channel carries, if it is such a channel.
    pub(super) fn command_of(&self, channel: &str) -> Option<CommandId> {
        let id = channel.strip_prefix(&self.start)?;
        let id = id.strip_prefix("response:")?;
        id.parse().ok().map(CommandId)
    }
}
