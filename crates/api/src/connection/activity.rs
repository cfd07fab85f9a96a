use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

use tokio::time::Instant;

use super::framing::{BodyLength, Framing};

/// How long the steps of a connection may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// From the first byte of a request head to its last one.
    pub(crate) head: Duration,
    /// From the end of a response to the first byte of the next request.
    pub(crate) idle: Duration,
    /// From the moment at which the peer accepts no more bytes to the one at which it does again.
    pub(crate) write: Duration,
}

/// What a connection is doing. Its socket, its requests and its deadlines share it; all of them run in
/// one task.
#[derive(Clone)]
pub(crate) struct Activity(Rc<RefCell<State>>);

struct State {
    deadlines: Deadlines,
    phase: Phase,
    framing: Framing,
    write_blocked_since: Option<Instant>,
    /// Wakes the reader that waits for bytes to pass.
    reader: Option<Waker>,
}

enum Phase {
    /// The first request head is awaited, which actix-http times itself and answers with 408.
    First,
    /// A later request is awaited.
    Idle { since: Instant },
    /// A part of a later request head has arrived.
    Head { since: Instant },
    /// A request is being answered.
    Answering,
}

/// Marks a request as being answered, until it is dropped.
pub(crate) struct Answering(Activity);

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

    /// Notes that a request with such a body is being answered.
    pub(super) fn answer(&self, body: BodyLength) -> Answering {
        let mut state = self.0.borrow_mut();
        state.phase = Phase::Answering;
        state.framing.begin(body);
        state.wake_reader();
        drop(state);
        Answering(self.clone())
    }

    /// The moment at which the connection is to be closed, unless its activity changes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.0.borrow();
        let deadlines = state.deadlines;
        let phase = match state.phase {
            Phase::First | Phase::Answering => None,
            Phase::Idle { since } => Some(since + deadlines.idle),
            Phase::Head { since } => Some(since + deadlines.head),
        };
        let write = state
            .write_blocked_since
            .map(|since| since + deadlines.write);
        phase.into_iter().chain(write).min()
    }

    /// Whether the server waits for bytes.
    pub(super) fn is_open(&self) -> bool {
        self.0.borrow().framing.is_open()
    }

    /// Wakes the task of `context` when the server waits for bytes again.
    pub(super) fn wake_when_open(&self, context: &Context<'_>) {
        self.0.borrow_mut().reader = Some(context.waker().clone());
    }

    /// The number of bytes at the front of `bytes` that the server may have now. They count as passed.
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

    /// Notes whether the peer accepted bytes when they were last offered.
    pub(super) fn offered(&self, accepted: bool) {
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

impl Drop for Answering {
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

    /// The time until the connection is closed.
    fn left(activity: &Activity) -> Option<Duration> {
        activity
            .deadline()
            .map(|deadline| deadline - Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn later_heads_and_idle_connections_have_a_deadline() {
        let activity = Activity::new(DEADLINES);
        assert_eq!(left(&activity), None);
        let answering = activity.answer(BodyLength::Known(0));
        assert_eq!(left(&activity), None);
        drop(answering);
        assert_eq!(left(&activity), Some(DEADLINES.idle));
        activity.pass(b"");
        assert_eq!(left(&activity), Some(DEADLINES.idle));
        activity.pass(b"G");
        assert_eq!(left(&activity), Some(DEADLINES.head));
        tokio::time::advance(Duration::from_secs(4)).await;
        activity.pass(b"G");
        assert_eq!(left(&activity), Some(Duration::from_secs(6)));
        let _answering = activity.answer(BodyLength::Unbounded);
        assert_eq!(left(&activity), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_deadline_starts_anew_with_each_byte_that_the_peer_accepts() {
        let activity = Activity::new(DEADLINES);
        let _answering = activity.answer(BodyLength::Unbounded);
        activity.offered(false);
        tokio::time::advance(Duration::from_secs(29)).await;
        activity.offered(false);
        assert_eq!(left(&activity), Some(Duration::from_secs(1)));
        activity.offered(true);
        assert_eq!(left(&activity), None);
        activity.offered(false);
        assert_eq!(left(&activity), Some(DEADLINES.write));
    }
}
