use sovd_domain::{
    AnomalyId, Booking, BookingId, BookingStatus, Outcome, Page, VehicleId, VehicleScope,
};
use sovd_storage::{
    StorageError,
    maintenance::bookings::{self, BookingFilter},
};
use uuid::Uuid;

use crate::{
    fixture::{Fleet, at, counted, page},
    waiting::{wait_until_blocked, within_deadline},
};

/// A pending booking at `at(seconds)`.
pub(crate) fn booking(number: u128, vehicle_id: VehicleId, seconds: i64) -> Booking {
    Booking {
        id: BookingId(Uuid::from_u128(number)),
        vehicle_id,
        service_center_id: Some("center-berlin".to_owned()),
        appointment_time: at(seconds),
        status: BookingStatus::Pending,
        customer_notes: None,
        created_at: at(0),
        anomaly_event_id: None,
        outcome: None,
    }
}

pub(crate) async fn store(fleet: &Fleet, booking: &Booking) {
    bookings::insert(&mut *fleet.connection().await, booking)
        .await
        .unwrap();
}

async fn found(fleet: &Fleet, id: BookingId) -> Option<Booking> {
    bookings::find_within(&mut *fleet.connection().await, id, &VehicleScope::All)
        .await
        .unwrap()
}

/// Inserts an anomaly of the vehicle, without an episode.
pub(crate) async fn anomaly(fleet: &Fleet, vehicle_id: VehicleId) -> AnomalyId {
    let sql = "INSERT INTO anomaly_events (vehicle_id, anomaly_type, severity)
               VALUES ($1, 'battery', 'High') RETURNING id";
    let row = fleet.client.query_one(sql, &[&vehicle_id.0]).await.unwrap();
    AnomalyId(row.get(0))
}

#[tokio::test]
async fn returns_a_booking_as_inserted() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let plain = Booking {
        service_center_id: None,
        ..booking(1, vehicle, 0)
    };
    let full = Booking {
        status: BookingStatus::Completed,
        customer_notes: Some("It rattles.".to_owned()),
        anomaly_event_id: Some(anomaly(&fleet, vehicle).await),
        outcome: Some(Outcome::NoFaultFound),
        ..booking(2, vehicle, 5)
    };
    for booking in [plain, full] {
        store(&fleet, &booking).await;
        let mut transaction = fleet.pool.begin().await.unwrap();
        let locked = bookings::lock(&mut transaction, booking.id).await;
        assert_eq!(locked.unwrap().as_ref(), Some(&booking));
        assert_eq!(found(&fleet, booking.id).await, Some(booking));
    }
}

#[tokio::test]
async fn handles_unknown_bookings_vehicles_and_anomalies() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let id = BookingId(Uuid::from_u128(9));
    assert_eq!(found(&fleet, id).await, None);
    let mut connection = fleet.connection().await;
    assert_eq!(bookings::lock(&mut connection, id).await.unwrap(), None);
    let moved = bookings::move_to(&mut connection, id, at(1)).await;
    assert!(!moved.unwrap());
    let dangling = booking(1, VehicleId(Uuid::from_u128(1)), 0);
    let dangling = bookings::insert(&mut connection, &dangling).await;
    assert!(matches!(dangling, Err(StorageError::Dangling { .. })));
    let about_nothing = Booking {
        anomaly_event_id: Some(AnomalyId(Uuid::from_u128(1))),
        ..booking(1, vehicle, 0)
    };
    let dangling = bookings::insert(&mut connection, &about_nothing).await;
    assert!(matches!(dangling, Err(StorageError::Dangling { .. })));
}

#[tokio::test]
async fn rejects_an_unknown_state_and_reports_it_as_corrupt() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    store(&fleet, &booking(1, vehicle, 0)).await;
    let sql = "UPDATE service_bookings SET status = 'LOST'";
    let refused = fleet.client.execute(sql, &[]).await.unwrap_err();
    let refused = refused.as_db_error().unwrap();
    assert_eq!(refused.constraint(), Some("chk_service_bookings_status"));

    let open_up = "ALTER TABLE service_bookings DROP CONSTRAINT chk_service_bookings_status";
    fleet.client.batch_execute(open_up).await.unwrap();
    fleet.client.execute(sql, &[]).await.unwrap();
    let mut connection = fleet.connection().await;
    let id = booking(1, vehicle, 0).id;
    let found = bookings::find_within(&mut connection, id, &VehicleScope::All).await;
    match found.unwrap_err() {
        StorageError::CorruptRow {
            table, column, row, ..
        } => {
            let cell = (table, column, row);
            assert_eq!(cell, ("service_bookings", "status", id.0.to_string()));
        }
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn changes_the_state_only_from_the_expected_one() {
    use BookingStatus::{Cancelled, Completed, Confirmed, Pending};
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let id = booking(1, vehicle, 0).id;
    store(&fleet, &booking(1, vehicle, 0)).await;
    store(&fleet, &booking(2, vehicle, 0)).await;
    let mut connection = fleet.connection().await;
    for (from, to, expected) in [
        (Confirmed, Completed, false),
        (Pending, Confirmed, true),
        (Pending, Confirmed, false),
        (Pending, Cancelled, false),
        (Confirmed, Completed, true),
        (Confirmed, Cancelled, false),
    ] {
        let changed = bookings::change_status(&mut connection, id, from, to).await;
        assert_eq!(changed.unwrap(), expected, "{from} to {to}");
    }
    let other = found(&fleet, booking(2, vehicle, 0).id).await;
    assert_eq!(other.unwrap().status, Pending);
}

#[tokio::test]
async fn moves_only_bookings_that_have_not_ended() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let mut connection = fleet.connection().await;
    for (number, status) in (1..).zip(BookingStatus::ALL) {
        let made = Booking {
            status: *status,
            ..booking(number, vehicle, 0)
        };
        store(&fleet, &made).await;
        let moved = bookings::move_to(&mut connection, made.id, at(60)).await;
        assert_eq!(moved.unwrap(), !status.has_ended(), "{status}");
        let time = found(&fleet, made.id).await.unwrap().appointment_time;
        assert_eq!(
            time,
            at(if status.has_ended() { 0 } else { 60 }),
            "{status}"
        );
    }
}

#[tokio::test]
async fn sets_notes_and_sets_the_outcome_once() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let about = Booking {
        anomaly_event_id: Some(anomaly(&fleet, vehicle).await),
        ..booking(1, vehicle, 0)
    };
    let plain = booking(2, vehicle, 0);
    store(&fleet, &about).await;
    store(&fleet, &plain).await;
    let mut connection = fleet.connection().await;
    for notes in [Some("It rattles."), None] {
        bookings::set_notes(&mut connection, about.id, notes)
            .await
            .unwrap();
        let kept = found(&fleet, about.id).await.unwrap().customer_notes;
        assert_eq!(kept.as_deref(), notes);
    }
    for (id, outcome, expected) in [
        (plain.id, Outcome::Other, false),
        (about.id, Outcome::Confirmed, true),
        (about.id, Outcome::Other, false),
    ] {
        let written = bookings::set_outcome(&mut connection, id, outcome).await;
        assert_eq!(written.unwrap(), expected, "{id} {outcome}");
    }
    let kept = found(&fleet, about.id).await.unwrap().outcome;
    assert_eq!(kept, Some(Outcome::Confirmed));
    assert_eq!(found(&fleet, plain.id).await.unwrap().outcome, None);
}

#[tokio::test]
async fn removes_the_notes_of_one_vehicle() {
    let fleet = Fleet::new().await;
    let (sold, other) = (fleet.vehicle("VIN1").await, fleet.vehicle("VIN2").await);
    for (number, vehicle, notes) in [
        (1, sold, Some("It rattles.")),
        (2, sold, Some("")),
        (3, sold, None),
        (4, other, Some("It smells.")),
    ] {
        let booking = Booking {
            customer_notes: notes.map(str::to_owned),
            ..booking(number, vehicle, 0)
        };
        store(&fleet, &booking).await;
    }
    let mut connection = fleet.connection().await;
    for expected in [2, 0] {
        let removed = bookings::remove_notes(&mut connection, sold).await;
        assert_eq!(removed.unwrap(), expected);
    }
    for (number, notes) in [(1, None), (2, None), (3, None), (4, Some("It smells."))] {
        let booking = found(&fleet, BookingId(Uuid::from_u128(number))).await;
        assert_eq!(booking.unwrap().customer_notes.as_deref(), notes);
    }
}

#[tokio::test]
async fn an_anomaly_is_booked_while_a_booking_is_open() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let (booked, other) = (
        anomaly(&fleet, vehicle).await,
        anomaly(&fleet, vehicle).await,
    );
    let mut connection = fleet.connection().await;
    assert!(!bookings::is_booked(&mut connection, booked).await.unwrap());
    for (number, status) in (1..).zip(BookingStatus::ALL) {
        let made = Booking {
            status: *status,
            anomaly_event_id: Some(booked),
            ..booking(number, vehicle, 0)
        };
        store(&fleet, &made).await;
        let is_booked = bookings::is_booked(&mut connection, booked).await.unwrap();
        assert_eq!(is_booked, !status.has_ended(), "{status}");
        let is_booked = bookings::is_booked(&mut connection, other).await.unwrap();
        assert!(!is_booked, "{status}");
        let sql = "DELETE FROM service_bookings";
        fleet.client.execute(sql, &[]).await.unwrap();
    }
}

/// Lists matching bookings; returns their numbers and the total.
async fn numbers(
    fleet: &Fleet,
    filter: &BookingFilter,
    scope: &VehicleScope,
    page: Page,
) -> (Vec<u128>, i64) {
    let mut connection = fleet.connection().await;
    let listed = bookings::list(&mut connection, filter, scope, page).await;
    let (found, total) = counted(listed.unwrap());
    let numbers = found.iter().map(|booking| booking.id.0.as_u128());
    (numbers.collect(), total)
}

#[tokio::test]
async fn lists_by_appointment_then_id_with_filters() {
    let fleet = Fleet::new().await;
    let (first, second) = (fleet.vehicle("VIN1").await, fleet.vehicle("VIN2").await);
    let customer = fleet.user("customer").await;
    let sql = "UPDATE vehicles SET owner_id = $1 WHERE vehicle_id = $2";
    let owned = fleet.client.execute(sql, &[&customer.0, &second.0]).await;
    assert_eq!(owned.unwrap(), 1);
    for (number, vehicle, seconds, status) in [
        (1, first, 30, BookingStatus::Pending),
        (3, second, 10, BookingStatus::Confirmed),
        (2, second, 10, BookingStatus::Pending),
        (4, first, 20, BookingStatus::Cancelled),
    ] {
        let made = Booking {
            status,
            ..booking(number, vehicle, seconds)
        };
        store(&fleet, &made).await;
    }
    let filter = BookingFilter::default;
    for (filter, scope, expected) in [
        (filter(), VehicleScope::All, vec![2, 3, 4, 1]),
        (
            BookingFilter {
                status: Some(BookingStatus::Pending),
                ..filter()
            },
            VehicleScope::All,
            vec![2, 1],
        ),
        (
            BookingFilter {
                vehicle_id: Some(second),
                ..filter()
            },
            VehicleScope::All,
            vec![2, 3],
        ),
        (filter(), VehicleScope::Among(vec![first]), vec![4, 1]),
        (filter(), VehicleScope::OwnedBy(customer), vec![2, 3]),
        (
            BookingFilter {
                vehicle_id: Some(first),
                ..filter()
            },
            VehicleScope::OwnedBy(customer),
            vec![],
        ),
        (
            BookingFilter {
                status: Some(BookingStatus::Completed),
                ..filter()
            },
            VehicleScope::All,
            vec![],
        ),
    ] {
        let total = i64::try_from(expected.len()).unwrap();
        let listed = numbers(&fleet, &filter, &scope, page(100, 0)).await;
        assert_eq!(listed, (expected, total), "{filter:?}");
    }
    let all = filter();
    for (limit, offset, expected) in [(1, 0, vec![2]), (2, 1, vec![3, 4]), (1, 4, vec![])] {
        let listed = numbers(&fleet, &all, &VehicleScope::All, page(limit, offset)).await;
        assert_eq!(listed, (expected, 4), "{limit} {offset}");
    }
}

#[tokio::test]
async fn waiting_for_the_lock_observes_the_outcome() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let made = Booking {
        anomaly_event_id: Some(anomaly(&fleet, vehicle).await),
        ..booking(1, vehicle, 0)
    };
    store(&fleet, &made).await;
    let mut first = fleet.pool.begin().await.unwrap();
    bookings::lock(&mut first, made.id).await.unwrap();
    let second = async {
        let mut second = fleet.pool.begin().await.unwrap();
        let locked = bookings::lock(&mut second, made.id).await.unwrap();
        locked.unwrap().outcome
    };
    let change = async {
        wait_until_blocked(&fleet, 1).await;
        bookings::set_outcome(&mut first, made.id, Outcome::Other)
            .await
            .unwrap();
        first.commit().await.unwrap();
    };
    let (seen, ()) = within_deadline(futures_util::future::join(second, change)).await;
    assert_eq!(seen, Some(Outcome::Other));
}
