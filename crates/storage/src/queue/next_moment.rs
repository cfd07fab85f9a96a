use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Nullable, Timestamptz},
};
use diesel_async::RunQueryDsl;

use crate::{Connection, StorageError};

/// The earliest moment at which a task may have to be claimed, ended or removed, not before `now`.
/// None while the queue holds nothing that the passing of time changes.
///
/// A task that waits for its vehicle counts with the moment at which it expires: a notification
/// announces the vehicle. Whether an earlier task of the vehicle is in the way is not looked at, so
/// the moment may turn out to be too early, but never too late.
///
/// # Errors
///
/// When the database is away.
pub async fn next_moment(
    connection: &mut Connection,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StorageError> {
    let row: MomentRow = sql_query(
        "SELECT min(greatest($1, CASE
             WHEN queue.is_called_off AND queue.task = 'command' THEN queue.lease_until
             WHEN queue.lease_until > $1 THEN queue.lease_until
             WHEN queue.sends > 0 THEN queue.due_at
             WHEN vehicles.connection_status = 'connected'
                 THEN least(queue.due_at, queue.expires_at)
             ELSE queue.expires_at
         END)) AS moment
         FROM command_queue queue
         JOIN vehicles USING (vehicle_id)
         WHERE queue.task IN ('command', 'probe')",
    )
    .bind::<Timestamptz, _>(now)
    .get_result(connection)
    .await?;
    Ok(row.moment)
}

#[derive(QueryableByName)]
struct MomentRow {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    moment: Option<DateTime<Utc>>,
}
