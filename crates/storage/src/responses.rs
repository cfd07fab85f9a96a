//! The chunks of vehicles' answers.

use chrono::{DateTime, Utc};
use diesel::{dsl::max, pg::Pg, prelude::*};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use sovd_domain::{CommandId, Response, ResponseId};
use uuid::Uuid;

use crate::{Connection, StorageError, schema::responses};

/// Writes a chunk. Writing the very same one again does nothing: whoever lost the answer to a commit
/// may try again.
///
/// # Errors
///
/// [`StorageError::Duplicate`] when the command has another chunk of that number, and when the
/// database is away.
pub async fn insert(connection: &mut Connection, response: &Response) -> Result<(), StorageError> {
    diesel::insert_into(responses::table)
        .values((
            responses::response_id.eq(response.response_id.0),
            responses::command_id.eq(response.command_id.0),
            responses::response_payload.eq(&response.response_payload),
            responses::sequence_number.eq(response.sequence_number),
            responses::is_final.eq(response.is_final),
            responses::received_at.eq(response.received_at),
        ))
        .on_conflict(responses::response_id)
        .do_nothing()
        .execute(connection)
        .await?;
    Ok(())
}

/// The number of the last chunk of a command, 0 when there is none.
///
/// # Errors
///
/// When the database is away.
pub async fn last_number(
    connection: &mut Connection,
    command_id: CommandId,
) -> Result<i32, StorageError> {
    let last: Option<i32> = responses::table
        .filter(responses::command_id.eq(command_id.0))
        .select(max(responses::sequence_number))
        .get_result(connection)
        .await?;
    Ok(last.unwrap_or(0))
}

/// The chunks of a command with a number above `after`, in order.
///
/// # Errors
///
/// When the database is away.
pub async fn list(
    connection: &mut Connection,
    command_id: CommandId,
    after: i32,
) -> Result<Vec<Response>, StorageError> {
    let rows: Vec<ResponseRow> = responses::table
        .filter(responses::command_id.eq(command_id.0))
        .filter(responses::sequence_number.gt(after))
        .order(responses::sequence_number)
        .select(ResponseRow::as_select())
        .load(connection)
        .await?;
    Ok(rows.into_iter().map(Response::from).collect())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = responses, check_for_backend(Pg))]
struct ResponseRow {
    response_id: Uuid,
    command_id: Uuid,
    response_payload: Value,
    sequence_number: i32,
    is_final: bool,
    received_at: DateTime<Utc>,
}

impl From<ResponseRow> for Response {
    fn from(row: ResponseRow) -> Self {
        Self {
            response_id: ResponseId(row.response_id),
            command_id: CommandId(row.command_id),
            response_payload: row.response_payload,
            sequence_number: row.sequence_number,
            is_final: row.is_final,
            received_at: row.received_at,
        }
    }
}
