use futures_util::future::{join, join_all};
use sovd_domain::{BookingId, VehicleId};
use sovd_storage::{StorageError, maintenance::bookings::slots};
use uuid::Uuid;

use crate::{
    fixture::{Fleet, at},
    maintenance::bookings::{booking, store},
    waiting::{wait_until_blocked, within_deadline},
};

const BERLIN: &str = "center-berlin";

/// A vehicle with bookings 1 to `count`, without slots.
async fn with_bookings(count: u128) -> Fleet {
    let fleet = Fleet::new().await;
    let vehicle: VehicleId = fleet.vehicle("VIN1").await;
    for number in 1..=count {
        store(&fleet, &booking(number, vehicle, 0)).await;
    }
    fleet
}

/// Takes a slot of `length` seconds in a separate transaction.
async fn take(
    fleet: &Fleet,
    number: u128,
    center: &str,
    start: i64,
    length: i64,
) -> Result<(), StorageError> {
    let mut transaction = fleet.pool.begin().await.unwrap();
    let id = BookingId(Uuid::from_u128(number));
    let end = at(start + length);
    match slots::assign(&mut transaction, id, center, at(start), end).await {
        Ok(()) => transaction.commit().await,
        Err(error) => {
            transaction.rollback().await.unwrap();
            Err(error)
        }
    }
}

#[track_caller]
fn assert_overlaps(taken: Result<(), StorageError>) {
    match taken {
        Err(StorageError::Overlap { constraint }) => {
            assert_eq!(constraint, "exc_booking_slots_service_center_id_during");
        }
        taken => panic!("{taken:?}"),
    }
}

#[tokio::test]
async fn slots_of_a_workshop_may_touch_but_not_overlap() {
    let fleet = with_bookings(3).await;
    take(&fleet, 1, BERLIN, 100, 50).await.unwrap();
    for (start, length) in [(100, 50), (99, 2), (149, 1), (110, 5), (0, 500)] {
        assert_overlaps(take(&fleet, 2, BERLIN, start, length).await);
    }
    take(&fleet, 2, BERLIN, 50, 50).await.unwrap();
    take(&fleet, 3, BERLIN, 150, 50).await.unwrap();
    assert_eq!(fleet.count("booking_slots").await, 3);
}

#[tokio::test]
async fn workshops_have_independent_slots() {
    let fleet = with_bookings(4).await;
    take(&fleet, 1, BERLIN, 0, 50).await.unwrap();
    for (number, center) in [(2, "center-berlin-2"), (3, "Center-Berlin"), (4, "ä")] {
        take(&fleet, number, center, 0, 50).await.unwrap();
    }
}

#[tokio::test]
async fn a_freed_slot_can_be_taken_again() {
    let fleet = with_bookings(2).await;
    take(&fleet, 1, BERLIN, 0, 50).await.unwrap();
    let id = BookingId(Uuid::from_u128(1));
    let mut connection = fleet.connection().await;
    for expected in [true, false] {
        let taken = slots::exists(&mut connection, id).await;
        assert_eq!(taken.unwrap(), expected);
        let freed = slots::delete(&mut connection, id).await;
        assert_eq!(freed.unwrap(), expected);
    }
    take(&fleet, 2, BERLIN, 0, 50).await.unwrap();
    assert_overlaps(take(&fleet, 1, BERLIN, 0, 50).await);
}

#[tokio::test]
async fn a_booking_may_move_within_its_slot_but_not_into_another() {
    let fleet = with_bookings(2).await;
    take(&fleet, 1, BERLIN, 0, 50).await.unwrap();
    take(&fleet, 2, BERLIN, 100, 50).await.unwrap();
    take(&fleet, 1, BERLIN, 10, 50).await.unwrap();
    take(&fleet, 1, BERLIN, 10, 50).await.unwrap();
    assert_overlaps(take(&fleet, 1, BERLIN, 51, 50).await);
    take(&fleet, 2, BERLIN, 60, 50).await.unwrap();
    take(&fleet, 1, "center-bonn", 60, 50).await.unwrap();
    assert_eq!(fleet.count("booking_slots").await, 2);
}

#[tokio::test]
async fn a_slot_is_deleted_with_its_booking() {
    let fleet = with_bookings(1).await;
    let unknown = take(&fleet, 9, BERLIN, 0, 50).await;
    assert!(matches!(unknown, Err(StorageError::Dangling { .. })));
    take(&fleet, 1, BERLIN, 0, 50).await.unwrap();
    let sql = "DELETE FROM vehicles";
    fleet.client.execute(sql, &[]).await.unwrap();
    assert_eq!(fleet.count("booking_slots").await, 0);
}

#[tokio::test]
async fn one_of_twenty_concurrent_bookings_wins_without_deadlock() {
    let fleet = with_bookings(20).await;
    for (round, start) in (0..5_i64).zip((0..).step_by(100)) {
        let attempts = (1..=20).map(|number| {
            // All overlap, with different starts.
            let start = start + i64::try_from(number).unwrap();
            take(&fleet, number, BERLIN, start, 50)
        });
        let taken = within_deadline(join_all(attempts)).await;
        let (won, lost): (Vec<_>, Vec<_>) = taken.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}: {lost:?}");
        for lost in lost {
            assert_overlaps(lost);
        }
        let sql = "DELETE FROM booking_slots";
        fleet.client.execute(sql, &[]).await.unwrap();
    }
}

#[tokio::test]
async fn slots_are_serialized_per_workshop() {
    let fleet = with_bookings(3).await;
    let mut first = fleet.pool.begin().await.unwrap();
    let id = BookingId(Uuid::from_u128(1));
    slots::assign(&mut first, id, BERLIN, at(0), at(50))
        .await
        .unwrap();
    // The second booking waits before it writes anything, which prevents deadlocks.
    let second = take(&fleet, 2, BERLIN, 1000, 50);
    let others = async {
        wait_until_blocked(&fleet, 1).await;
        take(&fleet, 3, "center-bonn", 0, 50).await.unwrap();
        first.commit().await.unwrap();
    };
    let (second, ()) = within_deadline(join(second, others)).await;
    second.unwrap();
}
