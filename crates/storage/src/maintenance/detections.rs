//! Anomalies detected in the responses of vehicles.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, Jsonb, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use sovd_domain::{AnomalyId, CommandId, Dtc, ResponseId, Rule, VehicleId};
use uuid::Uuid;

use crate::{Connection, Result, prepared::prepared};

/// A command that read the faults of a vehicle.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// The command.
    pub command_id: CommandId,
}

/// A trouble code that a rule matched.
#[derive(Debug, Clone)]
pub struct Match<'a> {
    /// The id of the anomaly, if one is inserted.
    pub anomaly_id: AnomalyId,
    /// The code.
    pub dtc: Dtc,
    /// The rule.
    pub rule: &'a Rule,
    /// The response chunk that contains the code.
    pub response_id: ResponseId,
    /// When that chunk was received.
    pub read_at: DateTime<Utc>,
    /// The fault as reported by the vehicle; a JSON object.
    pub sensor_snapshot: Value,
}

/// Inserts an anomaly for each match and returns the inserted ids. Skips a match if the vehicle has an
/// open episode of the code, or one that was closed after the code was read. Each code must occur once.
///
/// # Errors
///
/// `StorageError::Dangling` if the vehicle, the command or a response does not exist.
pub async fn insert(
    connection: &mut Connection,
    reading: Reading,
    mut matches: Vec<Match<'_>>,
) -> Result<Vec<AnomalyId>> {
    // A fixed order prevents deadlocks between concurrent inserts for one vehicle.
    matches.sort_by(|a, b| a.dtc.cmp(&b.dtc));
    let texts =
        |field: fn(&Match<'_>) -> String| -> Vec<String> { matches.iter().map(field).collect() };
    let anomaly_ids: Vec<Uuid> = matches.iter().map(|found| found.anomaly_id.0).collect();
    let response_ids: Vec<Uuid> = matches.iter().map(|found| found.response_id.0).collect();
    let read_at: Vec<DateTime<Utc>> = matches.iter().map(|found| found.read_at).collect();
    let snapshots: Vec<&Value> = matches.iter().map(|found| &found.sensor_snapshot).collect();
    // Foreign keys are checked at the end of the statement, so an episode may precede its anomaly.
    let rows: Vec<Inserted> = sql_query(
        "WITH found AS (
             SELECT * FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11) WITH ORDINALITY
                 AS found (id, response_id, read_at, dtc_code, rule_name, component_name,
                           anomaly_type, severity, sensor_snapshot, number)
             WHERE NOT EXISTS (
                 SELECT FROM anomaly_episodes AS closed
                 WHERE closed.vehicle_id = $1 AND closed.dtc_code = found.dtc_code
                   AND closed.closed_at >= found.read_at)),
         episode AS (
             INSERT INTO anomaly_episodes
                 (anomaly_event_id, vehicle_id, rule_name, component_name, dtc_code, command_id,
                  response_id)
             SELECT id, $1, rule_name, component_name, dtc_code, $2, response_id
             FROM found ORDER BY number
             ON CONFLICT (vehicle_id, dtc_code) WHERE closed_at IS NULL DO NOTHING
             RETURNING anomaly_event_id)
         INSERT INTO anomaly_events
             (id, vehicle_id, detected_at, anomaly_type, severity, sensor_snapshot)
         SELECT id, $1, read_at, anomaly_type, severity, sensor_snapshot
         FROM found JOIN episode ON anomaly_event_id = id
         ORDER BY number
         RETURNING id",
    )
    .bind::<SqlUuid, _>(reading.vehicle_id.0)
    .bind::<SqlUuid, _>(reading.command_id.0)
    .bind::<Array<SqlUuid>, _>(anomaly_ids)
    .bind::<Array<SqlUuid>, _>(response_ids)
    .bind::<Array<Timestamptz>, _>(read_at)
    .bind::<Array<Text>, _>(texts(|found| found.dtc.to_string()))
    .bind::<Array<Text>, _>(texts(|found| found.rule.name.clone()))
    .bind::<Array<Text>, _>(texts(|found| found.rule.component.clone()))
    .bind::<Array<Text>, _>(texts(|found| found.rule.anomaly_type.clone()))
    .bind::<Array<Text>, _>(texts(|found| found.rule.severity.to_string()))
    .bind::<Array<Jsonb>, _>(snapshots)
    .load(connection)
    .await?;
    Ok(rows.into_iter().map(|row| AnomalyId(row.id)).collect())
}

/// Returns those of the codes that have an open episode. A reading of such a code that is already stored
/// never makes an anomaly: if the episode is closed later, it is closed after the reading.
pub async fn with_open_episode(
    connection: &mut Connection,
    codes: &[(VehicleId, &Dtc)],
) -> Result<HashSet<(VehicleId, Dtc)>> {
    let (vehicle_ids, codes): (Vec<Uuid>, Vec<&str>) = codes
        .iter()
        .map(|(vehicle_id, dtc)| (vehicle_id.0, dtc.as_str()))
        .unzip();
    let rows: Vec<OpenEpisode> = prepared!(
        "SELECT open.vehicle_id, open.dtc_code
         FROM unnest({}, {}) AS found (vehicle_id, dtc_code)
         CROSS JOIN LATERAL (
             SELECT vehicle_id, dtc_code FROM anomaly_episodes
             WHERE anomaly_episodes.vehicle_id = found.vehicle_id
               AND anomaly_episodes.dtc_code = found.dtc_code
               AND closed_at IS NULL
             LIMIT 1) AS open",
        Array<SqlUuid> = vehicle_ids,
        Array<Text> = codes,
    )
    .load(connection)
    .await?;
    // A code that was stored can be read.
    let open = rows
        .into_iter()
        .filter_map(|row| Some((VehicleId(row.vehicle_id), row.dtc_code.parse().ok()?)));
    Ok(open.collect())
}

#[derive(QueryableByName)]
struct OpenEpisode {
    #[diesel(sql_type = SqlUuid)]
    vehicle_id: Uuid,
    #[diesel(sql_type = Text)]
    dtc_code: String,
}

#[derive(QueryableByName)]
struct Inserted {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}
