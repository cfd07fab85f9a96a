use std::{fmt::Display, time::Duration};

use tokio::time::Instant;

/// The time between two warnings.
const INTERVAL: Duration = Duration::from_mins(1);

/// Logs messages that are no events, without letting their sender fill the log.
#[derive(Default)]
pub(super) struct Complaints {
    last: Option<Instant>,
    ignored: u64,
}

impl Complaints {
    pub(super) fn note(&mut self, channel: &str, error: impl Display) {
        self.ignored += 1;
        if self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        let ignored = std::mem::take(&mut self.ignored);
        // A name of this many characters is longer than any channel that is subscribed to.
        let channel: String = channel.chars().take(200).collect();
        tracing::warn!(%channel, %error, ignored, "ignored messages on redis that are not events");
        self.last = Some(Instant::now());
    }
}
