use std::time::Duration;

use tokio::time::timeout;

use crate::fixture::Fleet;

/// Long enough for the slowest machine, so that a test that waits in vain fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `event` gives, which must not be long in coming.
pub(crate) async fn in_time<T>(event: impl Future<Output = T>) -> T {
    timeout(PATIENCE, event).await.unwrap()
}

/// Gives `()` once `count` transactions of this database wait for the lock of another.
pub(crate) async fn until_waiting(fleet: &Fleet, count: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    in_time(async {
        loop {
            let row = fleet.client.query_one(sql, &[]).await.unwrap();
            if row.get::<_, i64>(0) == count {
                return;
            }
        }
    })
    .await;
}
