//! Anomalies that show in vehicles' answers.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Jsonb, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use sovd_domain::{AnomalyId, CommandId, Dtc, ResponseId, Rule, VehicleId};
use uuid::Uuid;

use crate::{Connection, StorageError};

/// One reading of a vehicle's faults.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// The command that asked for it.
    pub command_id: CommandId,
}

/// A trouble code that a rule matched.
#[derive(Debug, Clone)]
pub struct Match<'a> {
    /// Identifies the anomaly, should there be one.
    pub anomaly_id: AnomalyId,
    /// The code.
    pub dtc: Dtc,
    /// The rule.
    pub rule: &'a Rule,
    /// The part of the answer that has the code.
    pub response_id: ResponseId,
    /// When that part came.
    pub read_at: DateTime<Utc>,
    /// The fault as the vehicle told it; a JSON object.
    pub sensor_snapshot: Value,
}

/// Writes an anomaly for each match whose code has no open episode of the vehicle, and none that a
/// workshop closed after the code was read. Gives the ids of those that were written. No code may be in
/// it twice.
///
/// # Errors
///
/// [`StorageError::Dangling`] when the vehicle, the command or a response is gone, and when the
/// database is away.
pub async fn insert(
    connection: &mut Connection,
    reading: Reading,
    mut matches: Vec<Match<'_>>,
) -> Result<Vec<AnomalyId>, StorageError> {
    // Two that write about one vehicle wait for each other at the first code that both have, and
    // never crosswise.
    matches.sort_by(|one, other| one.dtc.cmp(&other.dtc));
    let of = |read: fn(&Match<'_>) -> String| -> Vec<String> { matches.iter().map(read).collect() };
    let anomaly_ids: Vec<Uuid> = matches.iter().map(|found| found.anomaly_id.0).collect();
    let response_ids: Vec<Uuid> = matches.iter().map(|found| found.response_id.0).collect();
    let read_at: Vec<DateTime<Utc>> = matches.iter().map(|found| found.read_at).collect();
    let snapshots: Vec<&Value> = matches.iter().map(|found| &found.sensor_snapshot).collect();
    // References are checked when the statement ends, so an episode may come before its anomaly.
    let rows: Vec<Written> = sql_query(
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
    .bind::<Array<Text>, _>(of(|found| found.dtc.to_string()))
    .bind::<Array<Text>, _>(of(|found| found.rule.name.clone()))
    .bind::<Array<Text>, _>(of(|found| found.rule.component.clone()))
    .bind::<Array<Text>, _>(of(|found| found.rule.anomaly_type.clone()))
    .bind::<Array<Text>, _>(of(|found| found.rule.severity.to_string()))
    .bind::<Array<Jsonb>, _>(snapshots)
    .load(connection)
    .await?;
    Ok(rows.into_iter().map(|row| AnomalyId(row.id)).collect())
}

#[derive(QueryableByName)]
struct Written {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// What has become of the anomalies that a rule found.
#[derive(Debug, Clone, Default, PartialEq, Eq, QueryableByName)]
pub struct RuleRecord {
    /// The rule.
    #[diesel(sql_type = Text)]
    pub rule_name: String,
    /// How many it found.
    #[diesel(sql_type = BigInt)]
    pub detected: i64,
    /// How many of them no workshop has looked at.
    #[diesel(sql_type = BigInt)]
    pub open: i64,
    /// How many were there.
    #[diesel(sql_type = BigInt)]
    pub confirmed: i64,
    /// How many were none.
    #[diesel(sql_type = BigInt)]
    pub no_fault_found: i64,
    /// How many were something else.
    #[diesel(sql_type = BigInt)]
    pub other: i64,
}

/// What has become of the anomalies of each rule that found any, by the name of the rule.
///
/// # Errors
///
/// When the database is away.
pub async fn records(connection: &mut Connection) -> Result<Vec<RuleRecord>, StorageError> {
    let records = sql_query(
        "SELECT rule_name, count(*) AS detected,
                count(*) FILTER (WHERE outcome IS NULL) AS open,
                count(*) FILTER (WHERE outcome = 'confirmed') AS confirmed,
                count(*) FILTER (WHERE outcome = 'no_fault_found') AS no_fault_found,
                count(*) FILTER (WHERE outcome = 'other') AS other
         FROM anomaly_episodes
         WHERE rule_name IS NOT NULL
         GROUP BY rule_name
         ORDER BY rule_name COLLATE \"C\"",
    );
    Ok(records.load(connection).await?)
}
