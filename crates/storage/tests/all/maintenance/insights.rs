use std::slice;

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use sovd_domain::{AnomalyId, Insight, InsightId, Listing};
use sovd_storage::{
    StorageError,
    maintenance::insights::{self, ComponentSummary, DerivableGroup, FailureGroup},
    migrations,
};
use uuid::Uuid;

use crate::fixture::{Fleet, at, counted, page};

fn insight(number: u128, component_name: &str, seconds: i64) -> Insight {
    Insight {
        id: InsightId(Uuid::from_u128(number)),
        component_name: component_name.to_owned(),
        failure_pattern: "It breaks.".to_owned(),
        affected_batch: Some("BMW X5 2022".to_owned()),
        recommendation: None,
        confidence_score: Some(0.5),
        created_at: at(seconds),
    }
}

async fn insert(fleet: &Fleet, insight: &Insight) {
    insights::insert(&mut *fleet.connection().await, insight)
        .await
        .unwrap();
}

async fn list(fleet: &Fleet, component_name: Option<&str>, limit: i64) -> (Vec<u128>, i64) {
    let mut connection = fleet.connection().await;
    let Listing {
        items: found,
        total,
        ..
    } = insights::list(&mut connection, component_name, page(limit, 0))
        .await
        .unwrap();
    let ids = found.iter().map(|insight| insight.id.0.as_u128());
    (ids.collect(), total)
}

/// Stores a vehicle with an episode of the component for each outcome.
async fn failures(fleet: &Fleet, vin: &str, year: i32, component: &str, outcomes: &[&str]) {
    let sql = "INSERT INTO vehicles (vin, make, model, year, connection_status)
               VALUES ($1, 'BMW', 'X5', $2, 'connected')
               ON CONFLICT (vin) DO UPDATE SET year = $2 RETURNING vehicle_id";
    let row = fleet.client.query_one(sql, &[&vin, &year]).await.unwrap();
    let vehicle_id: Uuid = row.get(0);
    let sql = "WITH event AS (
                   INSERT INTO anomaly_events (vehicle_id, anomaly_type, severity)
                   VALUES ($1, 'x', 'Low') RETURNING id)
               INSERT INTO anomaly_episodes
                   (anomaly_event_id, vehicle_id, rule_name, component_name, dtc_code, outcome,
                    closed_at)
               SELECT id, $1, 'rule', $2, 'P042' || $3::int, nullif($4, 'open'),
                      CASE WHEN $4 = 'open' THEN NULL ELSE now() END
               FROM event";
    for (number, outcome) in (0_i32..).zip(outcomes) {
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&vehicle_id, &component, &number, outcome];
        fleet.client.execute(sql, &values).await.unwrap();
    }
}

async fn derivable(fleet: &Fleet, threshold: i64) -> Vec<DerivableGroup> {
    insights::derivable_groups(&mut *fleet.connection().await, threshold, 100)
        .await
        .unwrap()
}

async fn groups(fleet: &Fleet, threshold: i64) -> Vec<FailureGroup> {
    let groups = derivable(fleet, threshold).await.into_iter();
    groups.map(|it| it.group).collect()
}

/// Returns the number of failures of each derivable group, and how many of them are in no insight.
async fn counts(fleet: &Fleet) -> Vec<(i64, usize)> {
    let groups = derivable(fleet, 0).await.into_iter();
    groups
        .map(|it| (it.group.failures, it.new_failures.len()))
        .collect()
}

/// Inserts an insight about every failure that is in none.
async fn derive(fleet: &Fleet, number: u128) {
    let failures = derivable(fleet, 0).await.into_iter();
    let failures = failures.flat_map(|it| it.new_failures).collect();
    insert_derived(fleet, number, failures).await.unwrap();
}

async fn insert_derived(
    fleet: &Fleet,
    number: u128,
    failures: Vec<AnomalyId>,
) -> Result<(), StorageError> {
    let mut connection = fleet.connection().await;
    let derived = [(insight(number, "pump", 1), failures)];
    insights::insert_derived(&mut connection, &derived).await
}

#[tokio::test]
async fn lists_insights_newest_first() {
    let fleet = Fleet::new().await;
    for (number, component, seconds) in [(1, "pump", 5), (2, "cell", 9), (3, "pump", 9)] {
        insert(&fleet, &insight(number, component, seconds)).await;
    }
    assert_eq!(list(&fleet, None, 100).await, (vec![3, 2, 1], 3));
    assert_eq!(list(&fleet, None, 1).await, (vec![3], 3));
    assert_eq!(list(&fleet, Some("pump"), 100).await, (vec![3, 1], 2));
    assert_eq!(list(&fleet, Some("Pump"), 100).await, (vec![], 0));
    assert_eq!(list(&fleet, Some("pum%"), 100).await, (vec![], 0));
}

#[tokio::test]
async fn returns_an_insight_as_inserted() {
    let fleet = Fleet::new().await;
    let full = insight(1, "pump", 5);
    let bare = Insight {
        affected_batch: None,
        confidence_score: None,
        ..insight(2, "pump", 6)
    };
    for written in [full, bare] {
        insert(&fleet, &written).await;
        let found = insights::find(&mut *fleet.connection().await, written.id).await;
        assert_eq!(found.unwrap(), Some(written));
    }
    let unknown = InsightId(Uuid::from_u128(9));
    let found = insights::find(&mut *fleet.connection().await, unknown).await;
    assert_eq!(found.unwrap(), None);
}

#[tokio::test]
async fn summarizes_components_most_failures_first() {
    let fleet = Fleet::new().await;
    failures(
        &fleet,
        "VIN1",
        2022,
        "pump",
        &["confirmed", "other", "open"],
    )
    .await;
    failures(&fleet, "VIN2", 2022, "cell", &["confirmed", "confirmed"]).await;
    failures(&fleet, "VIN3", 2022, "hose", &["open", "no_fault_found"]).await;
    insert(&fleet, &insight(1, "pump", 1)).await;
    insert(&fleet, &insight(2, "valve", 1)).await;
    let component = |name: &str, confirmed_failures, insights| ComponentSummary {
        component_name: name.to_owned(),
        confirmed_failures,
        insights,
    };
    let all = [
        component("cell", 2, 0),
        component("pump", 1, 1),
        component("valve", 0, 1),
    ];
    let mut connection = fleet.connection().await;
    for (limit, offset, expected) in [(100, 0, &all[..]), (1, 1, &all[1..2]), (1, 3, &[])] {
        let found = insights::summary(&mut connection, page(limit, offset)).await;
        let (found, total) = counted(found.unwrap());
        assert_eq!((&found[..], total), (expected, 3));
    }
}

#[tokio::test]
async fn groups_failures_by_component_model_and_year() {
    let fleet = Fleet::new().await;
    failures(
        &fleet,
        "VIN1",
        2022,
        "pump",
        &["confirmed", "confirmed", "other", "open"],
    )
    .await;
    failures(
        &fleet,
        "VIN2",
        2022,
        "pump",
        &["confirmed", "no_fault_found"],
    )
    .await;
    failures(&fleet, "VIN3", 2023, "pump", &["confirmed"]).await;
    failures(&fleet, "VIN4", 2022, "hose", &["open", "other"]).await;
    let group = FailureGroup {
        component_name: "pump".to_owned(),
        make: "BMW".to_owned(),
        model: "X5".to_owned(),
        year: 2022,
        failures: 3,
        closed: 5,
        vehicles: 2,
        dtc_codes: vec!["P0420".to_owned(), "P0421".to_owned()],
    };
    let newer = FailureGroup {
        year: 2023,
        failures: 1,
        closed: 1,
        vehicles: 1,
        dtc_codes: vec!["P0420".to_owned()],
        ..group.clone()
    };
    assert_eq!(groups(&fleet, 0).await, [group.clone(), newer]);
    for threshold in [1, 2] {
        assert_eq!(groups(&fleet, threshold).await, slice::from_ref(&group));
    }
    assert_eq!(groups(&fleet, 3).await, []);
    let first = insights::derivable_groups(&mut *fleet.connection().await, 0, 1).await;
    let first = first.unwrap();
    assert_eq!((first.len(), &first[0].group), (1, &group));
}

#[tokio::test]
async fn returns_a_group_again_only_after_new_failures() {
    let fleet = Fleet::new().await;
    failures(&fleet, "VIN1", 2022, "pump", &["confirmed"]).await;
    let written = derivable(&fleet, 0).await.remove(0).new_failures;
    insert_derived(&fleet, 1, written.clone()).await.unwrap();
    assert_eq!(derivable(&fleet, 0).await, []);
    let again = insert_derived(&fleet, 2, written).await;
    match again.unwrap_err() {
        StorageError::Duplicate { constraint } => assert_eq!(constraint, "insight_failures_pkey"),
        error => panic!("{error:?}"),
    }
    let gone = insert_derived(&fleet, 3, vec![AnomalyId(Uuid::nil())]).await;
    assert!(matches!(gone, Err(StorageError::Dangling { .. })));

    failures(&fleet, "VIN2", 2022, "pump", &["open", "other"]).await;
    assert_eq!(derivable(&fleet, 0).await, []);
    failures(&fleet, "VIN3", 2022, "pump", &["confirmed"]).await;
    assert_eq!(counts(&fleet).await, [(2, 1)]);
}

#[tokio::test]
async fn counts_new_failures_after_a_vehicle_is_deleted() {
    let fleet = Fleet::new().await;
    let two = ["confirmed", "confirmed"];
    failures(&fleet, "VIN1", 2022, "pump", &two).await;
    derive(&fleet, 1).await;
    let sql = "DELETE FROM vehicles WHERE vin = 'VIN1'";
    fleet.client.batch_execute(sql).await.unwrap();
    assert_eq!(fleet.count("insight_failures").await, 0);
    assert_eq!(fleet.count("manufacturing_insights").await, 1);
    failures(&fleet, "VIN2", 2022, "pump", &["confirmed"]).await;
    assert_eq!(counts(&fleet).await, [(1, 1)]);
}

#[tokio::test]
async fn ignores_failures_that_move_to_another_group() {
    let fleet = Fleet::new().await;
    failures(&fleet, "VIN1", 2022, "pump", &["confirmed"]).await;
    failures(&fleet, "VIN2", 2023, "pump", &["confirmed"]).await;
    derive(&fleet, 1).await;
    // Both failures are now in one group; the other group is empty.
    failures(&fleet, "VIN1", 2023, "pump", &[]).await;
    assert_eq!(derivable(&fleet, 0).await, []);
    failures(&fleet, "VIN2", 2023, "pump", &["confirmed"]).await;
    assert_eq!(counts(&fleet).await, [(3, 1)]);
}

#[tokio::test]
async fn derivations_are_serialized() {
    let fleet = Fleet::new().await;
    let sql = "SELECT pg_try_advisory_xact_lock(hashtextextended('sovd derivation', 0))";
    let is_free = async || -> bool { fleet.client.query_one(sql, &[]).await.unwrap().get(0) };
    let mut first = fleet.pool.begin().await.unwrap();
    insights::lock_derivation(&mut first).await.unwrap();
    assert!(!is_free().await);
    first.commit().await.unwrap();
    assert!(is_free().await);
}

#[tokio::test]
async fn derivation_does_not_wait_for_deletions() {
    let fleet = Fleet::new().await;
    failures(&fleet, "VIN1", 2022, "pump", &["confirmed"]).await;
    failures(&fleet, "VIN2", 2023, "pump", &["confirmed"]).await;
    let sql = "BEGIN; DELETE FROM vehicles WHERE vin = 'VIN1'";
    fleet.client.batch_execute(sql).await.unwrap();
    let found = groups(&fleet, 0).await;
    assert_eq!((found.len(), found[0].year), (1, 2023));
    fleet.client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(groups(&fleet, 0).await.len(), 2);
}

#[tokio::test]
async fn locks_derived_failures_against_deletion() {
    let fleet = Fleet::new().await;
    failures(&fleet, "VIN1", 2022, "pump", &["confirmed"]).await;
    let mut transaction = fleet.pool.begin().await.unwrap();
    let mut groups = insights::derivable_groups(&mut transaction, 0, 100)
        .await
        .unwrap();
    let sql = "SET lock_timeout = '50ms'; DELETE FROM vehicles";
    fleet.client.batch_execute(sql).await.unwrap_err();
    let derived = [(insight(1, "pump", 1), groups.remove(0).new_failures)];
    insights::insert_derived(&mut transaction, &derived)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    fleet
        .client
        .batch_execute("DELETE FROM vehicles")
        .await
        .unwrap();
    assert_eq!(fleet.count("insight_failures").await, 0);
}

#[tokio::test]
async fn reverting_the_migration_deletes_derived_insights() {
    let fleet = Fleet::new().await;
    failures(&fleet, "VIN1", 2022, "pump", &["confirmed"]).await;
    insert(&fleet, &insight(1, "pump", 1)).await;
    derive(&fleet, 2).await;
    assert_eq!(list(&fleet, None, 100).await.0, [2, 1]);
    fleet.down_before("maintenance").await;
    migrations::up(fleet.url()).await.unwrap();
    assert_eq!(list(&fleet, None, 100).await.0, [1]);
}

#[derive(QueryableByName)]
struct Scans {
    #[diesel(sql_type = BigInt)]
    scans: i64,
}

#[tokio::test]
async fn the_summary_counts_failures_by_index() {
    // Imported here, because it would shadow `execute` of the PostgreSQL client elsewhere in the file.
    use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

    let fleet = Fleet::new().await;
    failures(&fleet, "VIN1", 2022, "pump", &["confirmed", "other"]).await;
    let mut transaction = fleet.pool.begin().await.unwrap();
    // PostgreSQL would scan such a small table sequentially.
    let sql = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off";
    transaction.batch_execute(sql).await.unwrap();
    let summary = insights::summary(&mut transaction, page(1, 0)).await;
    assert_eq!(summary.unwrap().total, 1);
    let scans: Scans = sql_query(
        "SELECT pg_stat_get_xact_numscans('idx_anomaly_episodes_component_name'::regclass) AS scans",
    )
    .get_result(&mut *transaction)
    .await
    .unwrap();
    assert_eq!(scans.scans, 2);
    transaction.rollback().await.unwrap();
}
