//! The chunks of vehicles' responses.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{
    dsl::max,
    prelude::*,
    sql_types::{Array, BigInt, Integer, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use sovd_domain::{
    CommandId, CommandStatus, Listing, Page, Response, ResponseId, paging::ResponseKey,
};
use uuid::Uuid;

use crate::{
    Connection, Result,
    prepared::prepared,
    rows::row,
    schema::{commands, responses},
    statement::{Statement, capped_count},
};

/// Inserts a chunk. Inserting the same chunk again has no effect, so a caller that did not learn the
/// outcome of a commit can retry.
///
/// # Errors
///
/// Returns `StorageError::Duplicate` if the command has another chunk with the same number.
pub async fn insert(connection: &mut Connection, response: &Response) -> Result<()> {
    diesel::insert_into(responses::table)
        .values(ResponseRow::from(response))
        .on_conflict(responses::response_id)
        .do_nothing()
        .run(connection)
        .await
}

/// Returns the number of the last chunk of a command, or 0 if it has none.
pub async fn last_number(connection: &mut Connection, command_id: CommandId) -> Result<i32> {
    let last: Option<i32> = responses::table
        .filter(responses::command_id.eq(command_id.0))
        .select(max(responses::sequence_number))
        .get_result(connection)
        .await?;
    Ok(last.unwrap_or(0))
}

/// Returns the chunks of a command with a number above `after`, in order.
pub async fn list(
    connection: &mut Connection,
    command_id: CommandId,
    after: i32,
) -> Result<Vec<Response>> {
    responses::table
        .filter(responses::command_id.eq(command_id.0))
        .filter(responses::sequence_number.gt(after))
        .order(responses::sequence_number)
        .select(ResponseRow::as_select())
        .fetch_all(connection)
        .await
}

/// Returns a page of the chunks of a command, in order.
pub async fn page(
    connection: &mut Connection,
    command_id: CommandId,
    page: Page<ResponseKey>,
) -> Result<Listing<Response>> {
    let of_command = responses::table.filter(responses::command_id.eq(command_id.0));
    let after = page.key().map_or(i32::MIN, |key| key.0);
    of_command
        .filter(responses::sequence_number.gt(after))
        .order(responses::sequence_number)
        .select(ResponseRow::as_select())
        .fetch_page(connection, capped_count(of_command), &page)
        .await
}

/// A position in a response: the command, and the number of the chunk before the position.
pub type Position = (CommandId, i32);

/// Returns up to `limit` chunks after each position, in order. Positions without further chunks are
/// omitted.
pub async fn list_next(
    connection: &mut Connection,
    positions: &[Position],
    limit: i64,
) -> Result<HashMap<Position, Vec<Response>>> {
    let (ids, after): (Vec<Uuid>, Vec<i32>) =
        positions.iter().map(|(id, after)| (id.0, *after)).unzip();
    let rows: Vec<NextRow> = prepared!(
        "SELECT position.after, next.response_id, next.command_id, next.response_payload,
                next.sequence_number, next.is_final, next.received_at
         FROM unnest({}, {}) AS position (command_id, after)
         CROSS JOIN LATERAL (
             SELECT * FROM responses
             WHERE responses.command_id = position.command_id
               AND responses.sequence_number > position.after
             ORDER BY responses.sequence_number
             LIMIT {}) AS next
         ORDER BY next.sequence_number",
        Array<SqlUuid> = ids,
        Array<Integer> = after,
        BigInt = limit,
    )
    .load(connection)
    .await?;
    let mut next: HashMap<Position, Vec<Response>> = HashMap::new();
    for row in rows {
        let response = Response::try_from(row.response)?;
        let position = (response.command_id, row.after);
        next.entry(position).or_default().push(response);
    }
    Ok(next)
}

/// Returns the status and the number of the last chunk, or 0, of each command. Commands that do not
/// exist or cannot be read are omitted.
pub async fn progress(
    connection: &mut Connection,
    command_ids: &[CommandId],
) -> Result<HashMap<CommandId, (CommandStatus, i32)>> {
    let ids: Vec<Uuid> = command_ids.iter().map(|id| id.0).collect();
    let last = responses::table
        .filter(responses::command_id.eq(commands::command_id))
        .select(max(responses::sequence_number))
        .single_value();
    let rows: Vec<(Uuid, String, Option<i32>)> = commands::table
        .filter(commands::command_id.eq_any(ids))
        .select((commands::command_id, commands::status, last))
        .load(connection)
        .await?;
    // An unreadable status is reported when the command itself is read.
    let readable = rows.into_iter().filter_map(|(id, status, last)| {
        let status = status.parse().ok()?;
        Some((CommandId(id), (status, last.unwrap_or(0))))
    });
    Ok(readable.collect())
}

row!(#[derive(QueryableByName)] ResponseRow of responses[response_id] for Response {
    response_id: ResponseId,
    command_id: CommandId,
    response_payload: Value,
    sequence_number: i32,
    is_final: bool,
    received_at: DateTime<Utc>,
});

#[derive(QueryableByName)]
struct NextRow {
    #[diesel(sql_type = Integer)]
    after: i32,
    #[diesel(embed)]
    response: ResponseRow,
}
