use sovd_domain::{CommandId, IdempotencyKey, UserId};
use sovd_storage::{
    Connection, StorageError,
    commands::{
        self,
        idempotency::{self, KeyedRequest, Known},
    },
};
use uuid::Uuid;

use crate::fixture::{Fleet, at, command};

pub(crate) fn id(number: u128) -> CommandId {
    CommandId(Uuid::from_u128(number))
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    text.parse().unwrap()
}

/// Associates `key` with the command with the number, which is also its fingerprint, unless the key has
/// been in use since `forget_before`.
pub(crate) async fn remember_since(
    connection: &mut Connection,
    (user_id, key): (UserId, &str),
    number: u8,
    now: i64,
    forget_before: i64,
) -> Option<Known> {
    let request = KeyedRequest {
        user_id,
        key: &self::key(key),
        fingerprint: &[0, number, 255],
    };
    let command_id = id(u128::from(number));
    idempotency::remember(connection, request, command_id, at(now), at(forget_before))
        .await
        .unwrap()
}

/// What [`remember_since`] returns for a key of the command with the number.
pub(crate) fn known(number: u8) -> Known {
    Known {
        command_id: id(u128::from(number)),
        fingerprint: vec![0, number, 255],
    }
}

/// Like [`remember_since`], one second after the start and without expired keys.
async fn remember(connection: &mut Connection, key: (UserId, &str), number: u8) -> Option<Known> {
    remember_since(connection, key, number, 1, 0).await
}

/// Stores the engineer's commands 1, 2 and 3, without keys.
pub(crate) async fn three_commands() -> Fleet {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    for number in 1..=3 {
        let command = command(number, fleet.engineer, vehicle, at(0));
        fleet.store(&command).await;
    }
    fleet
}

#[tokio::test]
async fn a_key_returns_the_first_command_that_used_it() {
    let fleet = three_commands().await;
    let mut connection = fleet.connection().await;
    let own = (fleet.engineer, "key");
    assert_eq!(remember(&mut connection, own, 1).await, None);
    for number in [2, 3, 1] {
        assert_eq!(remember(&mut connection, own, number).await, Some(known(1)));
    }
    assert_eq!(fleet.count("idempotency_keys").await, 1);
}

#[tokio::test]
async fn keys_are_separate_per_user_and_case_sensitive() {
    let fleet = three_commands().await;
    let other = fleet.user("other").await;
    let mut connection = fleet.connection().await;
    let keys = [
        (fleet.engineer, "key"),
        (other, "key"),
        (fleet.engineer, "Key"),
    ];
    for (key, number) in keys.into_iter().zip(1..) {
        assert_eq!(remember(&mut connection, key, number).await, None);
    }
    for (key, number) in keys.into_iter().zip(1..) {
        assert_eq!(remember(&mut connection, key, 9).await, Some(known(number)));
    }
}

#[tokio::test]
async fn accepts_the_longest_key() {
    let fleet = three_commands().await;
    let mut connection = fleet.connection().await;
    let (one, other) = ("k".repeat(255), "k".repeat(254));
    for (key, number) in [(&one, 1), (&other, 2)] {
        let own = (fleet.engineer, key.as_str());
        assert_eq!(remember(&mut connection, own, number).await, None);
        assert_eq!(remember(&mut connection, own, 3).await, Some(known(number)));
    }
}

#[tokio::test]
async fn an_expired_key_is_reused() {
    let fleet = three_commands().await;
    let mut connection = fleet.connection().await;
    let own = (fleet.engineer, "key");
    assert_eq!(remember_since(&mut connection, own, 1, 10, 0).await, None);
    let at_the_edge = remember_since(&mut connection, own, 2, 20, 10).await;
    assert_eq!(at_the_edge, Some(known(1)));
    assert_eq!(remember_since(&mut connection, own, 2, 20, 11).await, None);
    // Reuse restarts its lifetime.
    let at_the_edge = remember_since(&mut connection, own, 3, 30, 20).await;
    assert_eq!(at_the_edge, Some(known(2)));
    assert_eq!(remember_since(&mut connection, own, 3, 30, 21).await, None);
    assert_eq!(fleet.count("idempotency_keys").await, 1);
}

#[tokio::test]
async fn deletes_old_keys() {
    let fleet = three_commands().await;
    let mut connection = fleet.connection().await;
    for (key, number) in [("a", 1), ("b", 2), ("c", 3)] {
        let own = (fleet.engineer, key);
        let now = 10 + i64::from(number);
        assert_eq!(
            remember_since(&mut connection, own, number, now, 0).await,
            None
        );
    }
    for (before, deleted) in [(11, 0), (12, 1), (12, 0), (99, 2)] {
        let count = idempotency::forget(&mut connection, at(before)).await;
        assert_eq!(count.unwrap(), deleted, "{before}");
    }
    let own = (fleet.engineer, "a");
    assert_eq!(remember(&mut connection, own, 2).await, None);
}

#[tokio::test]
async fn the_command_may_be_inserted_after_its_key() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let own = (fleet.engineer, "key");
    let mut transaction = fleet.pool.begin().await.unwrap();
    assert_eq!(remember(&mut transaction, own, 1).await, None);
    let command = command(1, fleet.engineer, vehicle, at(0));
    commands::insert(&mut transaction, &command).await.unwrap();
    transaction.commit().await.unwrap();
    let mut connection = fleet.connection().await;
    assert_eq!(remember(&mut connection, own, 2).await, Some(known(1)));
}

#[tokio::test]
async fn the_commit_rejects_a_key_without_a_command() {
    let fleet = three_commands().await;
    let own = (fleet.engineer, "key");
    let mut transaction = fleet.pool.begin().await.unwrap();
    assert_eq!(remember(&mut transaction, own, 9).await, None);
    let error = transaction.commit().await.unwrap_err();
    let StorageError::Dangling { constraint } = error else {
        panic!("{error:?}")
    };
    assert_eq!(constraint, "idempotency_keys_command_id_fkey");
    assert_eq!(fleet.pool.connections_in_use(), 0);
    // The connection is usable, and the key is free.
    let mut connection = fleet.connection().await;
    assert_eq!(remember(&mut connection, own, 1).await, None);
}

#[tokio::test]
async fn keys_are_deleted_with_their_command_or_user() {
    let fleet = three_commands().await;
    let other = fleet.user("other").await;
    let mut connection = fleet.connection().await;
    for (key, number) in [
        ((fleet.engineer, "a"), 1),
        ((fleet.engineer, "b"), 2),
        ((other, "a"), 3),
    ] {
        assert_eq!(remember(&mut connection, key, number).await, None);
    }
    for (table, column, id, remaining) in [
        ("commands", "command_id", id(1).0, 2),
        ("users", "user_id", other.0, 1),
        ("users", "user_id", fleet.engineer.0, 0),
    ] {
        let sql = format!("DELETE FROM {table} WHERE {column} = $1");
        let deleted = fleet.client.execute(&sql, &[&id]).await;
        assert_eq!(deleted.unwrap(), 1);
        assert_eq!(fleet.count("idempotency_keys").await, remaining, "{table}");
    }
}
