use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_query, sql_types::Timestamptz};

use diesel_async::RunQueryDsl;

use crate::{Connection, Result};

/// Returns the earliest time, not before `now`, at which a task may have to be claimed, failed or
/// removed, or `None` if no entry of the queue depends on the time.
///
/// A task whose vehicle is not connected counts with its expiry, because a notification announces the
/// connection. A task with a valid lease counts with the expiry of the lease, unless its vehicle has
/// disconnected.
///
/// Each of the three parts reads only the first entries of an index.
pub async fn next_moment(
    connection: &mut Connection,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    let row: Option<MomentRow> = sql_query(
        "SELECT greatest($1, min(moment)) AS moment
         FROM (
             (SELECT ready_at AS moment FROM queue_heads
              WHERE (is_reachable OR is_sent) AND ready_at < 'infinity'
              ORDER BY ready_at, position LIMIT 1)
             UNION ALL
             (SELECT expires_at FROM command_queue
              WHERE send_count = 0 AND (lease_expires_at IS NULL OR lease_expires_at <= $1)
              ORDER BY expires_at LIMIT 1)
             UNION ALL
             (SELECT lease_expires_at FROM command_queue
              WHERE is_cancelled ORDER BY lease_expires_at LIMIT 1)) next
         HAVING min(moment) IS NOT NULL",
    )
    .bind::<Timestamptz, _>(now)
    .get_result(connection)
    .await
    .optional()?;
    Ok(row.map(|row| row.moment))
}

#[derive(QueryableByName)]
struct MomentRow {
    #[diesel(sql_type = Timestamptz)]
    moment: DateTime<Utc>,
}
