use futures_util::future::join;
use sovd_domain::{AnomalyId, Closure, Outcome, VehicleScope};
use sovd_storage::{
    StorageError,
    maintenance::{
        anomalies,
        episodes::{self, Episode},
    },
};
use uuid::Uuid;

use crate::{
    fixture::{Fleet, at},
    maintenance::bookings::anomaly,
    waiting::{wait_until_blocked, within_deadline},
};

fn closure(outcome: Outcome, seconds: i64) -> Closure {
    Closure {
        outcome,
        closed_at: at(seconds),
    }
}

#[tokio::test]
async fn closes_an_episode_once_with_or_without_an_existing_row() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let mut connection = fleet.connection().await;
    let (reported, detected) = (
        anomaly(&fleet, vehicle).await,
        anomaly(&fleet, vehicle).await,
    );
    let sql = "INSERT INTO anomaly_episodes (anomaly_event_id, vehicle_id, rule_name, dtc_code)
               VALUES ($1, $2, 'misfire', 'P0300')";
    let opened = fleet.client.execute(sql, &[&detected.0, &vehicle.0]).await;
    assert_eq!(opened.unwrap(), 1);
    for id in [reported, detected] {
        for (outcome, seconds, expected) in
            [(Outcome::NoFaultFound, 1, true), (Outcome::Other, 2, false)]
        {
            let locked = episodes::lock(&mut connection, id).await.unwrap();
            let found = if expected {
                Episode::Open
            } else {
                Episode::Closed
            };
            assert_eq!(locked, Some(found));
            let end = closure(outcome, seconds);
            let closed = episodes::close(&mut connection, id, vehicle, end).await;
            assert_eq!(closed.unwrap(), expected);
        }
        let sql = "SELECT outcome, closed_at, rule_name FROM anomaly_episodes
                   WHERE anomaly_event_id = $1";
        let row = fleet.client.query_one(sql, &[&id.0]).await.unwrap();
        assert_eq!(row.get::<_, &str>("outcome"), "no_fault_found");
        assert_eq!(
            row.get::<_, chrono::DateTime<chrono::Utc>>("closed_at"),
            at(1)
        );
        let rule = (id == detected).then_some("misfire");
        assert_eq!(row.get::<_, Option<&str>>("rule_name"), rule);
    }
}

#[tokio::test]
async fn neither_locks_nor_closes_an_unknown_anomaly() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let mut connection = fleet.connection().await;
    let id = AnomalyId(Uuid::from_u128(9));
    assert_eq!(episodes::lock(&mut connection, id).await.unwrap(), None);
    let there = anomaly(&fleet, vehicle).await;
    for (id, expected) in [(id, None), (there, Some(vehicle))] {
        let found = anomalies::vehicle_of_within(&mut connection, id, &VehicleScope::All).await;
        assert_eq!(found.unwrap(), expected);
    }
    let end = closure(Outcome::Other, 0);
    let closed = episodes::close(&mut connection, id, vehicle, end).await;
    assert!(matches!(closed, Err(StorageError::Dangling { .. })));
}

#[tokio::test]
async fn waiting_for_the_lock_observes_the_closure() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let id = anomaly(&fleet, vehicle).await;
    let mut first = fleet.pool.begin().await.unwrap();
    episodes::lock(&mut first, id).await.unwrap();
    let second = async {
        let mut second = fleet.pool.begin().await.unwrap();
        episodes::lock(&mut second, id).await.unwrap()
    };
    let closing = async {
        wait_until_blocked(&fleet, 1).await;
        let end = closure(Outcome::Confirmed, 1);
        let closed = episodes::close(&mut first, id, vehicle, end).await;
        assert!(closed.unwrap());
        first.commit().await.unwrap();
    };
    let (seen, ()) = within_deadline(join(second, closing)).await;
    assert_eq!(seen, Some(Episode::Closed));
}
