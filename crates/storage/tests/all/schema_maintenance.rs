//! The schema of the second migration, the published model of predictive maintenance.

use std::collections::BTreeSet;

use sovd_devstack::{Stack, TestDatabase};
use sovd_storage::migrations::{self, Steps};
use tokio_postgres::Client;

use crate::system_catalog::{checks, columns, foreign_keys, indexes, lines, primary_keys, tables};

#[rustfmt::skip]
const COLUMNS: [&str; 34] = [
    "anomaly_events.anomaly_type text not null",
    "anomaly_events.detected_at timestamp with time zone not null default now()",
    "anomaly_events.id uuid not null default gen_random_uuid()",
    "anomaly_events.rul_prediction double precision",
    "anomaly_events.sensor_snapshot jsonb",
    "anomaly_events.severity character varying(20) not null",
    "anomaly_events.vehicle_id uuid not null",
    "diagnoses.anomaly_event_id uuid not null",
    "diagnoses.confidence_score double precision not null",
    "diagnoses.created_at timestamp with time zone not null default now()",
    "diagnoses.diagnosis_text text not null",
    "diagnoses.id uuid not null default gen_random_uuid()",
    "manufacturing_insights.affected_batch text",
    "manufacturing_insights.component_name text not null",
    "manufacturing_insights.confidence_score double precision",
    "manufacturing_insights.created_at timestamp with time zone not null default now()",
    "manufacturing_insights.failure_pattern text not null",
    "manufacturing_insights.id uuid not null default gen_random_uuid()",
    "manufacturing_insights.recommendation text",
    "service_bookings.appointment_time timestamp with time zone not null",
    "service_bookings.created_at timestamp with time zone not null default now()",
    "service_bookings.customer_notes text",
    "service_bookings.id uuid not null default gen_random_uuid()",
    "service_bookings.service_center_id text",
    "service_bookings.status character varying(20) not null default 'PENDING'::character varying",
    "service_bookings.vehicle_id uuid not null",
    "ueba_logs.action_type text not null",
    "ueba_logs.agent_name text not null",
    "ueba_logs.id uuid not null default gen_random_uuid()",
    "ueba_logs.source_node text",
    "ueba_logs.status character varying(20) not null",
    "ueba_logs.target_node text",
    "ueba_logs.timestamp timestamp with time zone not null default now()",
    "vehicles.owner_id uuid",
];

const TABLES: [&str; 5] = [
    "anomaly_events",
    "diagnoses",
    "manufacturing_insights",
    "service_bookings",
    "ueba_logs",
];

/// Returns a database after the first `count` migrations.
async fn schema_after(count: usize) -> TestDatabase {
    let stack = Stack::shared().unwrap();
    stack
        .test_database(&format!("first {count}"), async move |url| {
            let applied = migrations::up(url).await?;
            let later = Steps::Count(applied.len() - count);
            migrations::down(url, later).await.map(|_| ())
        })
        .await
        .unwrap()
}

/// Returns what the second migration adds.
async fn added(read: impl AsyncFn(&Client) -> Vec<String>) -> BTreeSet<String> {
    let (first, second) = (schema_after(1).await, schema_after(2).await);
    let before = read(&first.client().await.unwrap()).await;
    let before: BTreeSet<String> = before.into_iter().collect();
    let after = read(&second.client().await.unwrap()).await.into_iter();
    after.filter(|fact| !before.contains(fact)).collect()
}

#[track_caller]
fn assert_adds<const N: usize>(found: BTreeSet<String>, expected: [&str; N]) {
    let found: Vec<String> = found.into_iter().collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn creates_five_tables() {
    assert_adds(added(tables).await, TABLES);
}

#[tokio::test]
async fn creates_the_published_columns() {
    let mut expected = COLUMNS.to_vec();
    expected.push("vehicles.vehicle_type character varying(20)");
    let found: Vec<String> = added(columns).await.into_iter().collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn creates_the_published_indexes() {
    let expected = [
        "idx_anomaly_events_vehicle_id_detected_at on anomaly_events (vehicle_id, detected_at)",
        "idx_diagnoses_anomaly_event_id on diagnoses (anomaly_event_id)",
        "idx_service_bookings_status_appointment_time on service_bookings (status, appointment_time)",
        "idx_service_bookings_vehicle_id on service_bookings (vehicle_id)",
        "idx_ueba_logs_timestamp on ueba_logs (\"timestamp\")",
        "idx_vehicles_owner_id on vehicles (owner_id)",
    ];
    assert_adds(added(indexes).await, expected);
    let database = schema_after(2).await;
    let client = database.client().await.unwrap();
    let newest_first =
        "SELECT relname::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
                        WHERE pg_get_indexdef(indexrelid) LIKE '%DESC)' ORDER BY 1";
    assert_eq!(
        lines(&client, newest_first).await,
        [
            "idx_anomaly_events_vehicle_id_detected_at",
            "idx_ueba_logs_timestamp"
        ]
    );
}

#[tokio::test]
async fn uses_a_uuid_as_every_primary_key() {
    let found: Vec<String> = added(primary_keys).await.into_iter().collect();
    let expected = TABLES.map(|table| format!("unique {table}_pkey on {table} (id)"));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn cascades_from_vehicles_and_their_owners() {
    let expected = [
        "anomaly_events.vehicle_id to vehicles.vehicle_id, delete c",
        "diagnoses.anomaly_event_id to anomaly_events.id, delete c",
        "service_bookings.vehicle_id to vehicles.vehicle_id, delete c",
        "vehicles.owner_id to users.user_id, delete c",
    ];
    assert_adds(added(foreign_keys).await, expected);
}

#[tokio::test]
async fn checks_enumerations_and_scores_by_name() {
    let expected = [
        "chk_anomaly_events_severity on anomaly_events: Low, Medium, High, Critical",
        "chk_diagnoses_confidence_score on diagnoses: CHECK (((confidence_score >= (0)::double precision) AND (confidence_score <= (1)::double precision)))",
        "chk_manufacturing_insights_confidence_score on manufacturing_insights: CHECK (((confidence_score >= (0)::double precision) AND (confidence_score <= (1)::double precision)))",
        "chk_service_bookings_status on service_bookings: PENDING, CONFIRMED, COMPLETED, CANCELLED",
        "chk_ueba_logs_status on ueba_logs: ALLOWED, BLOCKED",
        "chk_users_role on users: engineer, admin, customer, service, manufacturer",
        "chk_vehicles_vehicle_type on vehicles: EV, ICE",
    ];
    assert_adds(added(checks).await, expected);
}
