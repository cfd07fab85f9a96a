//! Constraints and cascades of the maintenance tables.

use sovd_domain::UserId;
use sovd_storage::{StorageError, identity::users};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::{
    constraints::{check, refusal},
    fixture::Fleet,
};

const CUSTOMER: &str = "INSERT INTO users (user_id, username, email, password_hash, role)
    VALUES ('00000000-0000-0000-0000-0000000000c1', 'owner', 'owner@example.com', '', 'customer')";
const VEHICLE: &str =
    "INSERT INTO vehicles (vehicle_id, vin, make, model, year, connection_status, owner_id)
    VALUES ('00000000-0000-0000-0000-0000000000e1', 'VIN1', 'Tesla', 'Model 3', 2023, 'connected',
            '00000000-0000-0000-0000-0000000000c1')";

/// A customer with a vehicle, three anomalies, diagnoses of two of them, and bookings.
async fn garage() -> Fleet {
    let fleet = Fleet::new().await;
    let history = "
        INSERT INTO anomaly_events (id, vehicle_id, anomaly_type, severity)
        SELECT lpad(n::text, 32, '0')::uuid, '00000000-0000-0000-0000-0000000000e1', 'battery', 'High'
        FROM generate_series(1, 3) n;
        INSERT INTO diagnoses (anomaly_event_id, diagnosis_text, confidence_score)
        SELECT lpad(n::text, 32, '0')::uuid, 'cause ' || m, 0.5
        FROM generate_series(1, 2) n, generate_series(1, n) m;
        INSERT INTO anomaly_episodes
            (anomaly_event_id, vehicle_id, component_name, outcome, closed_at)
        SELECT id, vehicle_id, 'battery', 'confirmed', now() FROM anomaly_events;
        INSERT INTO service_bookings (vehicle_id, appointment_time, status)
        SELECT '00000000-0000-0000-0000-0000000000e1', now() + n * INTERVAL '1 day', status
        FROM generate_series(1, 2) n, unnest(ARRAY['PENDING', 'CONFIRMED', 'PENDING']) status;
        INSERT INTO booking_anomalies (booking_id, anomaly_event_id)
        SELECT service_bookings.id, '00000000-0000-0000-0000-000000000001' FROM service_bookings;
        INSERT INTO booking_slots (booking_id, service_center_id, during)
        SELECT id, id::text, tstzrange(now(), now() + INTERVAL '30 minutes') FROM service_bookings;
        INSERT INTO manufacturing_insights (component_name, failure_pattern)
        VALUES ('battery', 'a'), ('battery', 'b'), ('pump', 'c')";
    for sql in [CUSTOMER, VEHICLE, history] {
        fleet.client.batch_execute(sql).await.unwrap();
    }
    fleet
}

#[tokio::test]
async fn rejects_unknown_values_and_scores_out_of_range() {
    let fleet = garage().await;
    for (sql, constraint) in [
        ("UPDATE users SET role = 'mechanic'", "chk_users_role"),
        (
            "UPDATE vehicles SET vehicle_type = 'HYBRID'",
            "chk_vehicles_vehicle_type",
        ),
        (
            "UPDATE anomaly_events SET severity = 'high'",
            "chk_anomaly_events_severity",
        ),
        (
            "UPDATE diagnoses SET confidence_score = 1.01",
            "chk_diagnoses_confidence_score",
        ),
        (
            "UPDATE diagnoses SET confidence_score = -0.01",
            "chk_diagnoses_confidence_score",
        ),
        (
            "UPDATE diagnoses SET confidence_score = 'NaN'",
            "chk_diagnoses_confidence_score",
        ),
        (
            "UPDATE service_bookings SET status = 'DONE'",
            "chk_service_bookings_status",
        ),
        (
            "UPDATE manufacturing_insights SET confidence_score = 2",
            "chk_manufacturing_insights_confidence_score",
        ),
        (
            "INSERT INTO ueba_logs (agent_name, action_type, status) VALUES ('a', 'b', 'MAYBE')",
            "chk_ueba_logs_status",
        ),
        (
            "UPDATE anomaly_episodes SET outcome = 'fixed'",
            "chk_anomaly_episodes_outcome",
        ),
        (
            "UPDATE anomaly_episodes SET outcome = NULL",
            "chk_anomaly_episodes_closed_at",
        ),
        (
            "UPDATE booking_anomalies SET outcome = 'fixed'",
            "chk_booking_anomalies_outcome",
        ),
    ] {
        assert_eq!(check(&fleet, sql).await, constraint, "{sql}");
    }
    let edges =
        "UPDATE diagnoses SET confidence_score = 0; UPDATE diagnoses SET confidence_score = 1";
    fleet.client.batch_execute(edges).await.unwrap();
}

#[tokio::test]
async fn rejects_dangling_references() {
    let fleet = Fleet::new().await;
    let dangling = [
        (VEHICLE, "vehicles_owner_id_fkey"),
        (
            "INSERT INTO anomaly_events (vehicle_id, anomaly_type, severity)
             VALUES (gen_random_uuid(), 'battery', 'Low')",
            "anomaly_events_vehicle_id_fkey",
        ),
        (
            "INSERT INTO diagnoses (anomaly_event_id, diagnosis_text, confidence_score)
             VALUES (gen_random_uuid(), 'x', 0)",
            "diagnoses_anomaly_event_id_fkey",
        ),
        (
            "INSERT INTO service_bookings (vehicle_id, appointment_time)
             VALUES (gen_random_uuid(), now())",
            "service_bookings_vehicle_id_fkey",
        ),
    ];
    for (sql, constraint) in dangling {
        let refused = refusal(&fleet, sql).await;
        let expected = (SqlState::FOREIGN_KEY_VIOLATION, constraint.to_owned());
        assert_eq!(refused, expected);
    }
    let no_vehicle =
        "INSERT INTO anomaly_events (anomaly_type, severity) VALUES ('battery', 'Low')";
    let error = fleet.client.batch_execute(no_vehicle).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::NOT_NULL_VIOLATION));
}

#[tokio::test]
async fn deleting_a_customer_deletes_vehicles_and_their_records() {
    let fleet = garage().await;
    let dependents = [
        "vehicles",
        "anomaly_events",
        "anomaly_episodes",
        "diagnoses",
        "service_bookings",
        "booking_slots",
        "booking_anomalies",
    ];
    for table in dependents {
        assert_ne!(fleet.count(table).await, 0, "{table}");
    }
    let entry = "INSERT INTO audit_logs (user_id, vehicle_id, action, entity_type)
                SELECT owner_id, vehicle_id, 'booking.create', 'booking' FROM vehicles";
    for sql in [entry, "DELETE FROM users WHERE username = 'owner'"] {
        fleet.client.batch_execute(sql).await.unwrap();
    }
    for table in dependents {
        assert_eq!(fleet.count(table).await, 0, "{table}");
    }
    let untied = "SELECT count(*) FROM audit_logs WHERE user_id IS NULL AND vehicle_id IS NULL";
    let row = fleet.client.query_one(untied, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    assert_eq!(fleet.count("manufacturing_insights").await, 3);
}

#[tokio::test]
async fn answers_the_published_queries() {
    let fleet = garage().await;
    for (sql, expected) in [
        (
            "SELECT status || ' ' || count(*) FROM service_bookings GROUP BY status ORDER BY status",
            &["CONFIRMED 2", "PENDING 4"][..],
        ),
        (
            "SELECT right(anomaly_events.id::text, 1) || ' ' || count(diagnoses.id)
             FROM anomaly_events LEFT JOIN diagnoses ON anomaly_event_id = anomaly_events.id
             GROUP BY anomaly_events.id ORDER BY anomaly_events.id",
            &["1 1", "2 2", "3 0"][..],
        ),
        (
            "SELECT component_name || ' ' || count(*) FROM manufacturing_insights
             GROUP BY component_name ORDER BY component_name",
            &["battery 2", "pump 1"][..],
        ),
    ] {
        assert_eq!(
            crate::system_catalog::lines(&fleet.client, sql).await,
            expected
        );
    }
}

#[tokio::test]
async fn rejects_a_user_with_an_unknown_role() {
    let fleet = garage().await;
    let mut connection = fleet.connection().await;
    let owner = UserId(Uuid::from_u128(0xc1));
    let found = users::find(&mut connection, owner).await;
    assert_eq!(found.unwrap().unwrap().username, "owner");
    let sql =
        "ALTER TABLE users DROP CONSTRAINT chk_users_role; UPDATE users SET role = 'mechanic'";
    fleet.client.batch_execute(sql).await.unwrap();
    let unreadable = users::find(&mut connection, owner).await;
    assert!(matches!(unreadable, Err(StorageError::CorruptRow { .. })));
}
