use std::collections::HashSet;

use futures_util::future::join_all;
use sovd_domain::VehicleId;
use sovd_storage::commands::queue;

use crate::{
    commands::queue::{claim, ids},
    fixture::{Fleet, at},
    waiting::within_deadline,
};

/// Returns a fleet of ten vehicles with five commands each.
async fn busy() -> Fleet {
    let fleet = Fleet::new().await;
    let mut vehicles = Vec::new();
    for number in 0..10 {
        vehicles.push(fleet.vehicle(&format!("VIN{number}")).await);
    }
    for number in 0..50_u8 {
        let vehicle = vehicles[usize::from(number % 10)];
        fleet.submit(u128::from(number) + 1, vehicle).await;
    }
    fleet
}

async fn vehicle_of(fleet: &Fleet, command: sovd_domain::CommandId) -> VehicleId {
    fleet.stored(command).await.vehicle_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_claims_never_share_a_command_or_vehicle() {
    let fleet = busy().await;
    let claims: Vec<_> = join_all((0..20).map(|_| claim(&fleet, 0, 3)))
        .await
        .concat();
    let claimed: HashSet<_> = ids(&claims).into_iter().collect();
    assert_eq!(claimed.len(), claims.len(), "a command was claimed twice");
    let mut vehicles = HashSet::new();
    for command in claimed {
        assert!(vehicles.insert(vehicle_of(&fleet, command).await));
    }
    assert_eq!(vehicles.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_claims_keep_the_order_of_each_vehicle() {
    let fleet = busy().await;
    let work = async || {
        let mut done = Vec::new();
        loop {
            let claims = claim(&fleet, 0, 2).await;
            if claims.is_empty() && fleet.count("command_queue").await == 0 {
                return done;
            }
            for claim in claims {
                assert_eq!(claim.entry.attempt, 0);
                let mut transaction = fleet.pool.begin().await.unwrap();
                assert!(queue::hold(&mut transaction, &claim).await.unwrap());
                let started =
                    sovd_storage::commands::start(&mut transaction, claim.command_id, at(0));
                assert!(started.await.unwrap().is_some());
                queue::remove(&mut transaction, claim.command_id)
                    .await
                    .unwrap();
                transaction.commit().await.unwrap();
                done.push(claim.command_id);
            }
        }
    };
    let done = within_deadline(join_all((0..20).map(|_| work()))).await;
    for of_one in &done {
        // Each worker sees the commands of a vehicle in order, with gaps.
        let mut latest: std::collections::HashMap<u128, u128> = std::collections::HashMap::new();
        for command in of_one {
            let number = command.0.as_u128();
            let before = latest.insert(number % 10, number);
            assert!(before.is_none_or(|before| before < number));
        }
    }
    let all: HashSet<_> = done.concat().into_iter().collect();
    assert_eq!(all.len(), 50);
    assert_eq!(done.concat().len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_lease_is_claimed_once() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    fleet.submit(1, vehicle).await;
    claim(&fleet, 0, 1).await;
    let claims: Vec<_> = join_all((0..20).map(|_| claim(&fleet, 30, 1)))
        .await
        .concat();
    assert_eq!(claims.len(), 1);
}

/// A submission locks the vehicle's row, so that no position is overtaken.
#[tokio::test]
async fn a_second_submission_waits_for_the_first() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let mut first = fleet.pool.begin().await.unwrap();
    let locked = sovd_storage::fleet::vehicles::lock(&mut first, vehicle).await;
    assert!(locked.unwrap().is_some());
    let no_wait = "SELECT FROM vehicles FOR NO KEY UPDATE NOWAIT";
    let error = fleet.client.execute(no_wait, &[]).await.unwrap_err();
    assert_eq!(
        error.code(),
        Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE)
    );
    first.commit().await.unwrap();
    fleet.client.execute(no_wait, &[]).await.unwrap();
}
