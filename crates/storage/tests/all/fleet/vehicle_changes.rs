use futures_util::future::join;
use serde_json::json;
use sovd_domain::{ConnectionStatus, UserId, Vehicle, VehicleId, VehicleType};
use sovd_storage::{StorageError, fleet::vehicles};
use uuid::Uuid;

use crate::{
    fixture::{Fleet, at},
    waiting::wait_until_blocked,
};

fn vehicle(number: u128, vin: &str) -> Vehicle {
    Vehicle {
        vehicle_id: VehicleId(Uuid::from_u128(number)),
        vin: vin.parse().unwrap(),
        make: "BMW".to_owned(),
        model: "X5".to_owned(),
        year: 2022,
        vehicle_type: Some(VehicleType::Combustion),
        owner_id: None,
        connection_status: ConnectionStatus::Disconnected,
        last_seen_at: None,
        metadata: json!({ "depot": 7 }),
        created_at: at(0),
    }
}

#[tokio::test]
async fn inserts_updates_and_deletes_vehicles() {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    let inserted = vehicle(1, "VIN1");
    let id = inserted.vehicle_id;
    vehicles::insert(&mut connection, &inserted).await.unwrap();
    let found = vehicles::find(&mut connection, id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&inserted));

    let changed = Vehicle {
        make: "Tesla".to_owned(),
        model: "Model 3".to_owned(),
        year: 2023,
        connection_status: ConnectionStatus::Error,
        last_seen_at: Some(at(5)),
        metadata: json!({ "depot": 8 }),
        ..inserted
    };
    vehicles::update(&mut connection, &changed).await.unwrap();
    let found = vehicles::find(&mut connection, id).await.unwrap();
    assert_eq!(found, Some(changed));

    vehicles::delete(&mut connection, id).await.unwrap();
    let found = vehicles::find(&mut connection, id).await.unwrap();
    assert_eq!(found, None);
}

#[tokio::test]
async fn duplicate_error_names_the_constraint() {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    vehicles::insert(&mut connection, &vehicle(1, "VIN1"))
        .await
        .unwrap();
    let twin = vehicles::insert(&mut connection, &vehicle(2, "vin1")).await;
    match twin.unwrap_err() {
        StorageError::Duplicate { constraint } => assert_eq!(constraint, "unq_vehicles_vin"),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn locks_and_returns_the_vehicles_of_a_customer() {
    let fleet = Fleet::new().await;
    let mut transaction = fleet.pool.begin().await.unwrap();
    let owner = fleet.engineer;
    assert!(!vehicles::has_any(&mut transaction, owner).await.unwrap());
    let [first, second] = [(1, "VIN2"), (2, "VIN1")].map(|(number, vin)| Vehicle {
        owner_id: Some(owner),
        ..vehicle(number, vin)
    });
    for vehicle in [&second, &first, &vehicle(3, "VIN3")] {
        vehicles::insert(&mut transaction, vehicle).await.unwrap();
    }
    assert!(vehicles::has_any(&mut transaction, owner).await.unwrap());
    let locked = vehicles::lock_owned_for_deletion(&mut transaction, owner).await;
    assert_eq!(locked.unwrap(), [first, second]);
    let missing = UserId(Uuid::nil());
    let locked = vehicles::lock_owned_for_deletion(&mut transaction, missing).await;
    assert_eq!(locked.unwrap(), []);
}

#[tokio::test]
async fn reports_the_queue_until_it_is_empty() {
    let fleet = Fleet::new().await;
    let (busy, other) = (fleet.vehicle("VIN1").await, fleet.vehicle("VIN2").await);
    fleet.submit(1, busy).await;
    let mut connection = fleet.connection().await;
    assert!(vehicles::has_queue(&mut connection, busy).await.unwrap());
    assert!(!vehicles::has_queue(&mut connection, other).await.unwrap());
    fleet
        .client
        .execute("DELETE FROM command_queue", &[])
        .await
        .unwrap();
    assert!(!vehicles::has_queue(&mut connection, busy).await.unwrap());
}

#[tokio::test]
async fn submission_waits_for_the_deletion() {
    let fleet = Fleet::new().await;
    let id = fleet.vehicle("VIN1").await;
    let mut deletion = fleet.pool.begin().await.unwrap();
    let locked = vehicles::lock_for_deletion(&mut deletion, id).await;
    assert_eq!(locked.unwrap().unwrap().vehicle_id, id);
    let submission = async {
        let mut submission = fleet.pool.begin().await.unwrap();
        let seen = vehicles::lock(&mut submission, id).await.unwrap();
        submission.rollback().await.unwrap();
        seen
    };
    let deletion = async {
        wait_until_blocked(&fleet, 1).await;
        vehicles::delete(&mut deletion, id).await.unwrap();
        deletion.commit().await.unwrap();
    };
    let (seen, ()) = join(submission, deletion).await;
    assert_eq!(seen, None);
}

#[tokio::test]
async fn deletion_waits_for_a_kept_vehicle() {
    let fleet = Fleet::new().await;
    let id = fleet.vehicle("VIN1").await;
    let mut transaction = fleet.pool.begin().await.unwrap();
    let unknown = VehicleId(Uuid::nil());
    assert!(
        !vehicles::prevent_deletion(&mut transaction, unknown)
            .await
            .unwrap()
    );
    assert!(
        vehicles::prevent_deletion(&mut transaction, id)
            .await
            .unwrap()
    );
    let delete = async {
        let mut deletion = fleet.pool.begin().await.unwrap();
        let vehicle = vehicles::lock_for_deletion(&mut deletion, id).await;
        deletion.rollback().await.unwrap();
        vehicle.unwrap().is_some()
    };
    let commit = async {
        wait_until_blocked(&fleet, 1).await;
        transaction.commit().await.unwrap();
    };
    assert_eq!(join(delete, commit).await, (true, ()));
}
