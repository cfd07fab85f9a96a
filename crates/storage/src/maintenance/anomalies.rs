//! Anomalies of vehicles, each with its origin and its closure.

use chrono::{DateTime, Utc};
use diesel::{dsl::IntervalDsl, pg::Pg, prelude::*};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use sovd_domain::{
    Anomaly, AnomalyId, Closure, CommandId, Detection, Listing, Outcome, Page, ResponseId,
    Severity, VehicleId, VehicleScope, paging::AnomalyKey,
};
use uuid::Uuid;

use crate::{
    Connection, Result, StorageError,
    filters::filter_some,
    fleet::scope::within,
    rows::restore,
    schema::{anomaly_episodes, anomaly_events},
    statement::{Statement, after_time, capped_count},
};

/// Selects anomalies; an unset field matches every anomaly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnomalyFilter {
    /// Anomalies of this vehicle.
    pub vehicle_id: Option<VehicleId>,
    /// Anomalies of this severity.
    pub severity: Option<Severity>,
    /// Anomalies of exactly this type.
    pub anomaly_type: Option<String>,
    /// Anomalies detected at or after this time.
    pub start: Option<DateTime<Utc>>,
    /// Anomalies detected at or before this time.
    pub end: Option<DateTime<Utc>>,
}

/// Inserts an anomaly and its episode. The caller must be in a transaction.
///
/// # Errors
///
/// `StorageError::Dangling` if the vehicle does not exist; `StorageError::Duplicate` if the vehicle
/// has an open episode of the same trouble code.
pub async fn insert(connection: &mut Connection, anomaly: &Anomaly) -> Result<()> {
    diesel::insert_into(anomaly_events::table)
        .values((
            anomaly_events::id.eq(anomaly.id.0),
            anomaly_events::vehicle_id.eq(anomaly.vehicle_id.0),
            anomaly_events::detected_at.eq(anomaly.detected_at),
            anomaly_events::anomaly_type.eq(&anomaly.anomaly_type),
            anomaly_events::severity.eq(anomaly.severity.as_str()),
            anomaly_events::sensor_snapshot.eq(&anomaly.sensor_snapshot),
            anomaly_events::rul_prediction.eq(anomaly.rul_prediction),
        ))
        .execute(connection)
        .await?;
    let source = anomaly.source.as_ref();
    let closure = anomaly.closure.as_ref();
    diesel::insert_into(anomaly_episodes::table)
        .values((
            anomaly_episodes::anomaly_event_id.eq(anomaly.id.0),
            anomaly_episodes::vehicle_id.eq(anomaly.vehicle_id.0),
            anomaly_episodes::rule_name.eq(source.map(|source| &source.rule_name)),
            anomaly_episodes::component_name.eq(&anomaly.component_name),
            anomaly_episodes::dtc_code.eq(source.map(|source| &source.dtc_code)),
            anomaly_episodes::command_id.eq(source.and_then(|s| s.command_id).map(|id| id.0)),
            anomaly_episodes::response_id.eq(source.and_then(|s| s.response_id).map(|id| id.0)),
            anomaly_episodes::outcome.eq(closure.map(|closure| closure.outcome.as_str())),
            anomaly_episodes::closed_at.eq(closure.map(|closure| closure.closed_at)),
        ))
        .run(connection)
        .await
}

/// Returns the anomaly with the id if its vehicle is in `scope`.
pub async fn find_within(
    connection: &mut Connection,
    anomaly_id: AnomalyId,
    scope: &VehicleScope,
) -> Result<Option<Anomaly>> {
    let query = anomaly_events::table.find(anomaly_id.0).into_boxed();
    within!(query, anomaly_events::vehicle_id, scope)
        .left_join(anomaly_episodes::table)
        .select(Row::as_select())
        .fetch_first(connection)
        .await
}

/// Returns the vehicle of an anomaly if it is in `scope`.
pub async fn vehicle_of_within(
    connection: &mut Connection,
    anomaly_id: AnomalyId,
    scope: &VehicleScope,
) -> Result<Option<VehicleId>> {
    let query = anomaly_events::table.find(anomaly_id.0).into_boxed();
    let vehicle_id: Option<Uuid> = within!(query, anomaly_events::vehicle_id, scope)
        .select(anomaly_events::vehicle_id)
        .first(connection)
        .await
        .optional()?;
    Ok(vehicle_id.map(VehicleId))
}

/// Returns a page of the matching anomalies, newest first.
///
/// A page of one vehicle, one severity, one type or the fleet is an index scan in list order, so its cost
/// does not grow with the table. A page of several vehicles, as for a customer or a key, sorts their
/// anomalies.
pub async fn list(
    connection: &mut Connection,
    filter: &AnomalyFilter,
    scope: &VehicleScope,
    page: Page<AnomalyKey>,
) -> Result<Listing<Anomaly>> {
    let is_entire = *filter == AnomalyFilter::default() && *scope == VehicleScope::All;
    let count = capped_count(matching(filter, scope)).of_entire("anomaly_events", is_entire);
    newest_first(filter, scope, page.key())
        .left_join(anomaly_episodes::table)
        .select(Row::as_select())
        .fetch_page(connection, count, &page)
        .await
}

/// Returns up to `limit` anomalies of a vehicle, newest first.
pub async fn newest_of(
    connection: &mut Connection,
    vehicle_id: VehicleId,
    limit: i64,
) -> Result<Vec<Anomaly>> {
    let filter = AnomalyFilter {
        vehicle_id: Some(vehicle_id),
        ..AnomalyFilter::default()
    };
    newest_first(&filter, &VehicleScope::All, None)
        .left_join(anomaly_episodes::table)
        .select(Row::as_select())
        .limit(limit)
        .fetch_all(connection)
        .await
}

fn newest_first<'a>(
    filter: &'a AnomalyFilter,
    scope: &VehicleScope,
    after: Option<&AnomalyKey>,
) -> anomaly_events::BoxedQuery<'a, Pg> {
    let mut query = matching(filter, scope);
    after_time!(
        query,
        anomaly_events::detected_at,
        anomaly_events::id,
        after
    );
    let newest_id = anomaly_events::id.desc();
    if has_several_vehicles(filter, scope) {
        // Ordering by an expression keeps PostgreSQL from scanning the fleet's index in list order, which
        // would read the anomalies of every vehicle to find those of a few.
        let detected_at = anomaly_events::detected_at + 0.seconds();
        query.order((detected_at.desc(), newest_id))
    } else {
        query.order((anomaly_events::detected_at.desc(), newest_id))
    }
}

/// Returns whether several vehicles are selected, but not the whole fleet.
fn has_several_vehicles(filter: &AnomalyFilter, scope: &VehicleScope) -> bool {
    filter.vehicle_id.is_none() && *scope != VehicleScope::All
}

fn matching<'a>(
    filter: &'a AnomalyFilter,
    scope: &VehicleScope,
) -> anomaly_events::BoxedQuery<'a, Pg> {
    let query = anomaly_events::table.into_boxed();
    let mut query = within!(query, anomaly_events::vehicle_id, scope);
    filter_some!(
        query,
        anomaly_events::vehicle_id.eq(filter.vehicle_id.map(|id| id.0)),
        anomaly_events::severity.eq(filter.severity.map(Severity::as_str)),
        anomaly_events::anomaly_type.eq(filter.anomaly_type.as_ref()),
        anomaly_events::detected_at.ge(filter.start),
        anomaly_events::detected_at.le(filter.end),
    );
    query
}

/// An anomaly and its episode. Anomalies inserted before the episodes table existed have none.
#[derive(Queryable, Selectable)]
#[diesel(check_for_backend(Pg))]
struct Row {
    #[diesel(embed)]
    anomaly: AnomalyRow,
    #[diesel(embed)]
    episode: Option<EpisodeRow>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = anomaly_events, check_for_backend(Pg))]
struct AnomalyRow {
    id: Uuid,
    vehicle_id: Uuid,
    detected_at: DateTime<Utc>,
    anomaly_type: String,
    severity: String,
    sensor_snapshot: Option<Value>,
    rul_prediction: Option<f64>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = anomaly_episodes, check_for_backend(Pg))]
struct EpisodeRow {
    rule_name: Option<String>,
    component_name: Option<String>,
    dtc_code: Option<String>,
    command_id: Option<Uuid>,
    response_id: Option<Uuid>,
    outcome: Option<String>,
    closed_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Anomaly {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self> {
        let anomaly = row.anomaly;
        let id = anomaly.id;
        let (component_name, source, closure) = match row.episode {
            Some(mut episode) => {
                let closure = episode.closure(id)?;
                (episode.component_name.take(), episode.source(), closure)
            }
            None => (None, None, None),
        };
        Ok(Self {
            id: AnomalyId(id),
            vehicle_id: VehicleId(anomaly.vehicle_id),
            detected_at: anomaly.detected_at,
            anomaly_type: anomaly.anomaly_type,
            severity: restore(anomaly.severity, "anomaly_events", "severity", id)?,
            sensor_snapshot: anomaly.sensor_snapshot,
            rul_prediction: anomaly.rul_prediction,
            component_name,
            source,
            closure,
        })
    }
}

impl EpisodeRow {
    fn closure(&self, id: Uuid) -> Result<Option<Closure>> {
        let outcome: Option<Outcome> =
            restore(self.outcome.clone(), "anomaly_episodes", "outcome", id)?;
        let closed = outcome.zip(self.closed_at);
        Ok(closed.map(|(outcome, closed_at)| Closure { outcome, closed_at }))
    }

    fn source(self) -> Option<Detection> {
        Some(Detection {
            rule_name: self.rule_name?,
            dtc_code: self.dtc_code?,
            command_id: self.command_id.map(CommandId),
            response_id: self.response_id.map(ResponseId),
        })
    }
}
