use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

use tokio::time::Instant;

use super::framing::{BodyLength, Framing};

/// The time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// From the first byte of a request head to the last.
    pub(crate) head: Duration,
    /// From the end of a response to the first byte of the next request.
    pub(crate) idle: Duration,
    /// From when the peer stops accepting bytes until it accepts some again.
    pub(crate) write: Duration,
}

/// The activity of a connection. Its socket, requests and deadlines share it and run in one task.
#[derive(Clone)]
pub(crate) struct Activity(Rc<RefCell<State>>);

struct State {
    deadlines: Deadlines,
    phase: Phase,
    framing: Framing,
    write_blocked_since: Option<Instant>,
    /// Wakes the reader that waits until bytes may pass.
    reader: Option<Waker>,
}

enum Phase {
    /// Waiting for the first request head, which actix-http itself times and answers with 408.
    First,
    /// Waiting for a later request.
    Idle { since: Instant },
    /// Part of a later request head has arrived.
    Head { since: Instant },
    /// A request is being served.
    Serving,
}

/// Marks a request as being served until it is dropped.
pub(crate) struct Serving(Activity);

impl Activity {
    pub(super) fn new(deadlines: Deadlines) -> Self {
        Self(Rc::new(RefCell::new(State {
            deadlines,
            phase: Phase::First,
            framing: Framing::new(),
            write_blocked_since: None,
            reader: None,
        })))
    }

    /// Marks a request with the given body as being served.
    pub(super) fn serve(&self, body: BodyLength) -> Serving {
        let mut state = self.0.borrow_mut();
        state.phase = Phase::Serving;
        state.framing.begin(body);
        state.wake_reader();
        drop(state);
        Serving(self.clone())
    }

    /// Returns when the connection must be closed unless its activity changes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.0.borrow();
        let deadlines = state.deadlines;
        let phase = match state.phase {
            Phase::First | Phase::Serving => None,
            Phase::Idle { since } => Some(since + deadlines.idle),
            Phase::Head { since } => Some(since + deadlines.head),
        };
        let write = state
            .write_blocked_since
            .map(|since| since + deadlines.write);
        phase.into_iter().chain(write).min()
    }

    /// Whether the server may read bytes.
    pub(super) fn is_open(&self) -> bool {
        self.0.borrow().framing.is_open()
    }

    /// Wakes the task of `context` when the server may read bytes again.
    pub(super) fn wake_when_open(&self, context: &Context<'_>) {
        self.0.borrow_mut().reader = Some(context.waker().clone());
    }

    /// Passes bytes from the front of `bytes` and returns how many the server may read now.
    pub(super) fn pass(&self, bytes: &[u8]) -> usize {
        let mut state = self.0.borrow_mut();
        if let Phase::Idle { .. } = state.phase
            && !bytes.is_empty()
        {
            state.phase = Phase::Head {
                since: Instant::now(),
            };
        }
        state.framing.pass(bytes)
    }

    /// Records whether the peer accepted the last write.
    pub(super) fn record_write(&self, accepted: bool) {
        let mut state = self.0.borrow_mut();
        if accepted {
            state.write_blocked_since = None;
        } else if state.write_blocked_since.is_none() {
            state.write_blocked_since = Some(Instant::now());
        }
    }
}

impl State {
    fn wake_reader(&mut self) {
        if self.framing.is_open()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut state = self.0.0.borrow_mut();
        state.phase = Phase::Idle {
            since: Instant::now(),
        };
        state.framing.end();
        state.wake_reader();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines = Deadlines {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
    };

    /// Returns the time until the connection is closed.
    fn left(activity: &Activity) -> Option<Duration> {
        activity
            .deadline()
            .map(|deadline| deadline - Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn limits_later_heads_and_idle_connections() {
        let activity = Activity::new(DEADLINES);
        assert_eq!(left(&activity), None);
        let serving = activity.serve(BodyLength::Known(0));
        assert_eq!(left(&activity), None);
        drop(serving);
        assert_eq!(left(&activity), Some(DEADLINES.idle));
        activity.pass(b"");
        assert_eq!(left(&activity), Some(DEADLINES.idle));
        activity.pass(b"G");
        assert_eq!(left(&activity), Some(DEADLINES.head));
        tokio::time::advance(Duration::from_secs(4)).await;
        activity.pass(b"G");
        assert_eq!(left(&activity), Some(Duration::from_secs(6)));
        let _serving = activity.serve(BodyLength::Unbounded);
        assert_eq!(left(&activity), None);
    }

    #[tokio::test(start_paused = true)]
    async fn restarts_the_write_deadline_when_the_peer_accepts_bytes() {
        let activity = Activity::new(DEADLINES);
        let _serving = activity.serve(BodyLength::Unbounded);
        activity.record_write(false);
        tokio::time::advance(Duration::from_secs(29)).await;
        activity.record_write(false);
        assert_eq!(left(&activity), Some(Duration::from_secs(1)));
        activity.record_write(true);
        assert_eq!(left(&activity), None);
        activity.record_write(false);
        assert_eq!(left(&activity), Some(DEADLINES.write));
    }
}
