use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;

/// The deadline for an event that a test waits for.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits for an event in a test.
///
/// # Panics
///
/// If the event does not occur within [`TIMEOUT`].
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub async fn within<T>(description: &str, event: impl Future<Output = T>) -> T {
    let outcome = timeout(TIMEOUT, event).await;
    outcome.unwrap_or_else(|_| panic!("waited {TIMEOUT:?} for {description}"))
}

/// Waits until at least `count` transactions of the client's database wait for a lock.
///
/// # Panics
///
/// If this does not occur within [`TIMEOUT`], or a query fails.
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
pub async fn wait_for_blocked(client: &Client, count: i64) {
    let query = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let count_blocked = async || {
        let row = client.query_one(query, &[]).await;
        row.expect("failed to count the blocked transactions")
            .get::<_, i64>(0)
    };
    let blocked = async { while count_blocked().await < count {} };
    within("transactions to wait for a lock", blocked).await;
}
