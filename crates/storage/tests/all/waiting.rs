use sovd_devstack::{wait_for_blocked, within};

use crate::fixture::Fleet;

/// Returns the output of `event`, which must occur before a deadline.
pub(crate) async fn within_deadline<T>(event: impl Future<Output = T>) -> T {
    within("the event", event).await
}

/// Waits until at least `count` transactions of the database wait for a lock.
pub(crate) async fn wait_until_blocked(fleet: &Fleet, count: i64) {
    wait_for_blocked(&fleet.client, count).await;
}
