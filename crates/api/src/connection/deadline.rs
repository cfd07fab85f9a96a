use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::activity::Activity;

/// A deadline of the connection passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DeadlineElapsed;

/// Runs a connection until it ends or one of its deadlines passes.
///
/// The activity changes only while the connection is polled, so the deadline is checked after each poll.
/// The timer is moved only to an earlier time and is reset if it fires too early, so that consecutive
/// requests do not reset it.
pub(super) async fn within_deadlines<T>(
    connection: impl Future<Output = T>,
    activity: &Activity,
) -> Result<T, DeadlineElapsed> {
    let mut connection = pin!(connection);
    let mut timer = pin!(sleep(Duration::ZERO));
    poll_fn(|context| {
        if let Poll::Ready(end) = connection.as_mut().poll(context) {
            return Poll::Ready(Ok(end));
        }
        loop {
            let Some(deadline) = activity.deadline() else {
                return Poll::Pending;
            };
            if timer.is_elapsed() || deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(context));
            if Instant::now() >= deadline {
                return Poll::Ready(Err(DeadlineElapsed));
            }
        }
    })
    .await
}
