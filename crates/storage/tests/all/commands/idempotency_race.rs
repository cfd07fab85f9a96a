use futures_util::future::join_all;
use sovd_storage::{
    Transaction,
    commands::{self, idempotency::Known},
};

use crate::{
    commands::idempotency::{id, known, remember_since, three_commands},
    fixture::{Fleet, at, command},
    waiting::{wait_until_blocked, within_deadline},
};

/// Submits the command with the number unless the key is in use, and returns the existing use after the
/// commit.
async fn submit(fleet: &Fleet, number: u8) -> Option<Known> {
    let mut transaction = fleet.pool.begin().await.unwrap();
    let known = remember(fleet, &mut transaction, number).await;
    match &known {
        None => write(fleet, &mut transaction, number).await,
        Some(known) => {
            // The command of the first request is committed.
            let found = commands::find(&mut transaction, known.command_id, None).await;
            assert!(found.unwrap().is_some());
        }
    }
    transaction.commit().await.unwrap();
    known
}

async fn remember(fleet: &Fleet, transaction: &mut Transaction, number: u8) -> Option<Known> {
    within_deadline(remember_since(
        transaction,
        (fleet.engineer, "key"),
        number,
        10,
        5,
    ))
    .await
}

async fn write(fleet: &Fleet, transaction: &mut Transaction, number: u8) {
    let vehicle = "SELECT vehicle_id FROM vehicles";
    let vehicle = fleet.client.query_one(vehicle, &[]).await.unwrap().get(0);
    let vehicle = sovd_domain::VehicleId(vehicle);
    let command = command(u128::from(number), fleet.engineer, vehicle, at(0));
    commands::insert(transaction, &command).await.unwrap();
}

/// Returns the numbers of the requests that took the key, and what the others found.
fn sorted(outcomes: Vec<Option<Known>>) -> (Vec<u8>, Vec<Known>) {
    let numbers = (0..).zip(&outcomes);
    let firsts = numbers.filter(|(_, known)| known.is_none());
    let firsts = firsts.map(|(number, _)| number).collect();
    let known = outcomes.into_iter().flatten().collect();
    (firsts, known)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_twenty_concurrent_requests_takes_the_key() {
    let fleet = Fleet::new().await;
    fleet.vehicle("VIN1").await;
    let outcomes = join_all((0..20).map(|number| submit(&fleet, number))).await;
    let (firsts, others) = sorted(outcomes);
    let [first] = firsts[..] else {
        panic!("{firsts:?}")
    };
    assert_eq!(others, vec![known(first); 19]);
    assert_eq!(fleet.count("commands").await, 1);
}

#[tokio::test]
async fn concurrent_requests_wait_for_the_first_to_commit() {
    let fleet = Fleet::new().await;
    fleet.vehicle("VIN1").await;
    let mut first = fleet.pool.begin().await.unwrap();
    assert_eq!(remember(&fleet, &mut first, 100).await, None);
    let others = join_all((0..19).map(|number| submit(&fleet, number)));
    let (others, ()) = tokio::join!(others, async {
        wait_until_blocked(&fleet, 19).await;
        write(&fleet, &mut first, 100).await;
        first.commit().await.unwrap();
    });
    assert_eq!(others, vec![Some(known(100)); 19]);
}

#[tokio::test]
async fn another_request_takes_the_key_if_the_first_rolls_back() {
    let fleet = Fleet::new().await;
    fleet.vehicle("VIN1").await;
    let mut first = fleet.pool.begin().await.unwrap();
    assert_eq!(remember(&fleet, &mut first, 100).await, None);
    let others = join_all((0..5).map(|number| submit(&fleet, number)));
    let (others, ()) = tokio::join!(others, async {
        wait_until_blocked(&fleet, 5).await;
        write(&fleet, &mut first, 100).await;
        first.rollback().await.unwrap();
    });
    let (firsts, others) = sorted(others);
    let [first] = firsts[..] else {
        panic!("{firsts:?}")
    };
    assert_eq!(others, vec![known(first); 4]);
    assert_eq!(fleet.count("commands").await, 1);
}

#[tokio::test]
async fn requests_with_other_keys_do_not_wait() {
    let fleet = three_commands().await;
    let other = fleet.user("other").await;
    let mut first = fleet.pool.begin().await.unwrap();
    assert_eq!(remember(&fleet, &mut first, 1).await, None);
    let mut connection = fleet.connection().await;
    for (key, number) in [((fleet.engineer, "other"), 2), ((other, "key"), 3)] {
        let known = within_deadline(remember_since(&mut connection, key, number, 10, 5)).await;
        assert_eq!(known, None);
    }
    first.commit().await.unwrap();
}

#[tokio::test]
async fn an_expired_key_is_replaced_once() {
    let fleet = three_commands().await;
    let own = (fleet.engineer, "key");
    let mut connection = fleet.connection().await;
    assert_eq!(remember_since(&mut connection, own, 1, 0, 0).await, None);
    let mut one = fleet.pool.begin().await.unwrap();
    let mut other = fleet.pool.begin().await.unwrap();
    assert_eq!(remember(&fleet, &mut one, 2).await, None);
    let (found, ()) = tokio::join!(remember(&fleet, &mut other, 3), async {
        wait_until_blocked(&fleet, 1).await;
        one.commit().await.unwrap();
    });
    assert_eq!(found, Some(known(2)));
    other.rollback().await.unwrap();
}

#[tokio::test]
async fn a_key_is_free_once_its_command_is_deleted() {
    let fleet = three_commands().await;
    let own = (fleet.engineer, "key");
    let mut connection = fleet.connection().await;
    assert_eq!(remember_since(&mut connection, own, 1, 10, 5).await, None);
    let deleting = fleet.another_client().await;
    let delete = format!("BEGIN; DELETE FROM commands WHERE command_id = '{}'", id(1));
    deleting.batch_execute(&delete).await.unwrap();
    let mut request = fleet.pool.begin().await.unwrap();
    let (found, ()) = tokio::join!(remember(&fleet, &mut request, 2), async {
        wait_until_blocked(&fleet, 1).await;
        deleting.batch_execute("COMMIT").await.unwrap();
    });
    assert_eq!(found, None);
    request.commit().await.unwrap();
    let found = remember_since(&mut connection, own, 3, 10, 5).await;
    assert_eq!(found, Some(known(2)));
}
