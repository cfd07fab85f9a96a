use std::slice;

use sovd_domain::{Insight, InsightId};
use sovd_storage::{
    StorageError,
    insights::{self, ComponentSummary, FailureGroup},
};
use uuid::Uuid;

use crate::fleet::{Fleet, at, page};

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
    let (found, total) = insights::list(&mut connection, component_name, page(limit, 0))
        .await
        .unwrap();
    let ids = found.iter().map(|insight| insight.id.0.as_u128());
    (ids.collect(), total)
}

/// A vehicle with an episode for each of the outcomes, all of one component.
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

async fn grown(fleet: &Fleet, threshold: i64) -> Vec<FailureGroup> {
    insights::grown(&mut *fleet.connection().await, threshold)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_newest_insight_comes_first() {
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
async fn an_insight_is_found_as_it_was_written() {
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
async fn components_are_summed_up_with_the_worst_first() {
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
        let (found, total) = found.unwrap();
        assert_eq!((&found[..], total), (expected, 3));
    }
}

#[tokio::test]
async fn failures_are_grouped_by_component_model_and_year() {
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
    assert_eq!(grown(&fleet, 0).await, [group.clone(), newer]);
    for threshold in [1, 2] {
        assert_eq!(grown(&fleet, threshold).await, slice::from_ref(&group));
    }
    assert_eq!(grown(&fleet, 3).await, []);
}

#[tokio::test]
async fn a_group_is_derived_again_when_it_has_grown() {
    let fleet = Fleet::new().await;
    failures(&fleet, "VIN1", 2022, "pump", &["confirmed"]).await;
    let group = grown(&fleet, 0).await.remove(0);
    let mut connection = fleet.connection().await;
    insights::insert_derived(&mut connection, &insight(1, "pump", 1), &group)
        .await
        .unwrap();
    assert_eq!(grown(&fleet, 0).await, []);
    let again = insights::insert_derived(&mut connection, &insight(2, "pump", 1), &group).await;
    let constraint = "unq_derived_insights_component_name_make_model_year_failures";
    match again.unwrap_err() {
        StorageError::Duplicate { constraint: found } => assert_eq!(found, constraint),
        error => panic!("{error:?}"),
    }

    failures(&fleet, "VIN2", 2022, "pump", &["open"]).await;
    assert_eq!(grown(&fleet, 0).await, []);
    failures(&fleet, "VIN3", 2022, "pump", &["confirmed"]).await;
    let grown = grown(&fleet, 0).await;
    assert_eq!((grown.len(), grown[0].failures), (1, 2));
}

#[tokio::test]
async fn one_derives_at_a_time() {
    let fleet = Fleet::new().await;
    let mut first = fleet.pool.begin().await.unwrap();
    insights::lock_derivation(&mut first).await.unwrap();
    let sql = "LOCK TABLE derived_insights IN SHARE ROW EXCLUSIVE MODE NOWAIT";
    let refused = fleet.client.batch_execute(&format!("BEGIN; {sql}")).await;
    assert!(refused.is_err());
    fleet.client.batch_execute("ROLLBACK").await.unwrap();
    // Whoever reads what was derived does not wait.
    assert_eq!(fleet.count("derived_insights").await, 0);
    first.commit().await.unwrap();
    let again = format!("BEGIN; {sql}; COMMIT");
    fleet.client.batch_execute(&again).await.unwrap();
}
