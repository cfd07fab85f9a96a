use std::{fmt::Display, time::Duration};

use tokio::time::Instant;

/// The minimum interval between warnings.
const INTERVAL: Duration = Duration::from_mins(1);

/// Limits the warnings about invalid messages, so that their sender cannot fill the log.
#[derive(Default)]
pub(super) struct LogThrottle {
    last: Option<Instant>,
    ignored: u64,
}

impl LogThrottle {
    pub(super) fn warn(&mut self, channel: &str, error: impl Display) {
        self.ignored += 1;
        if self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        let ignored = std::mem::take(&mut self.ignored);
        // No subscribed channel has a longer name.
        let channel: String = channel.chars().take(200).collect();
        tracing::warn!(%channel, %error, ignored, "ignored messages on redis that are not events");
        self.last = Some(Instant::now());
    }
}
