use sovd_domain::CommandId;
use sovd_storage::{
    StorageError,
    fleet::vehicles,
    maintenance::detection_jobs::{self, DetectionJob},
};
use uuid::Uuid;

use crate::{
    fixture::{Fleet, at},
    waiting::wait_until_blocked,
};

async fn next(fleet: &Fleet, seconds: i64) -> Option<DetectionJob> {
    let mut connection = fleet.connection().await;
    let due = detection_jobs::due(&mut connection, at(seconds), 1).await;
    due.unwrap().first().copied()
}

#[tokio::test]
async fn returns_the_job_due_for_the_longest_time() {
    let fleet = Fleet::new().await;
    let vehicle_id = fleet.vehicle("VIN1").await;
    let [first, second] = [
        fleet.submit(1, vehicle_id).await,
        fleet.submit(2, vehicle_id).await,
    ];
    let mut connection = fleet.connection().await;
    for (command_id, first_number, due) in [(second, 4, 2), (first, 1, 3), (first, 9, 1)] {
        detection_jobs::push(&mut connection, command_id, first_number, at(due))
            .await
            .unwrap();
    }
    assert_eq!(next(&fleet, 1).await, None);
    let expected = DetectionJob {
        command_id: second,
        vehicle_id,
        first_sequence_number: 4,
        attempts: 0,
    };
    assert_eq!(next(&fleet, 2).await, Some(expected));
    detection_jobs::postpone(&mut connection, second, at(4))
        .await
        .unwrap();
    let expected = DetectionJob {
        command_id: first,
        // Inserting it again changed nothing.
        first_sequence_number: 1,
        ..expected
    };
    assert_eq!(next(&fleet, 5).await, Some(expected));
    assert!(
        detection_jobs::remove(&mut connection, first)
            .await
            .unwrap()
    );
    assert!(
        !detection_jobs::remove(&mut connection, first)
            .await
            .unwrap()
    );
    assert_eq!(next(&fleet, 5).await.map(|job| job.attempts), Some(1));
}

#[tokio::test]
async fn rejects_a_job_without_a_command() {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    let unknown = CommandId(Uuid::from_u128(9));
    let pushed = detection_jobs::push(&mut connection, unknown, 1, at(0)).await;
    assert!(matches!(pushed, Err(StorageError::Dangling { .. })));
    let locked = detection_jobs::lock(&mut connection, unknown).await;
    assert!(!locked.unwrap());
}

/// Both lock the vehicle, its commands and their jobs in this order.
#[tokio::test]
async fn a_detection_run_and_a_vehicle_deletion_do_not_deadlock() {
    let fleet = Fleet::new().await;
    let vehicle_id = fleet.vehicle("VIN1").await;
    let command_id = fleet.submit(1, vehicle_id).await;
    detection_jobs::push(&mut *fleet.connection().await, command_id, 1, at(0))
        .await
        .unwrap();
    let mut run = fleet.pool.begin().await.unwrap();
    assert!(
        vehicles::prevent_deletion(&mut run, vehicle_id)
            .await
            .unwrap()
    );
    let deleter = fleet.another_client().await;
    let deletion = tokio::spawn(async move {
        let sql = "DELETE FROM vehicles WHERE vehicle_id = $1";
        deleter.execute(sql, &[&vehicle_id.0]).await.unwrap()
    });
    wait_until_blocked(&fleet, 1).await;
    assert!(detection_jobs::lock(&mut run, command_id).await.unwrap());
    assert!(detection_jobs::remove(&mut run, command_id).await.unwrap());
    run.commit().await.unwrap();
    assert_eq!(deletion.await.unwrap(), 1);
    assert_eq!(fleet.count("detection_jobs").await, 0);
}
