use sovd_domain::{Permission, Role, Scope, ServiceAccount, User, UserId, VehicleId};
use sovd_storage::{
    StorageError,
    identity::{service_accounts, users},
};
use uuid::Uuid;

use crate::fixture::{Fleet, at, counted, page};

const ID: UserId = UserId(Uuid::from_u128(7));

/// An account created by the engineer whose key expires at `at(100)`.
fn account(fleet: &Fleet) -> ServiceAccount {
    ServiceAccount {
        user: User {
            user_id: ID,
            username: "monitor".to_owned(),
            email: "monitor@service-accounts.invalid".to_owned(),
            role: Role::Engineer,
            is_active: true,
            created_at: at(0),
        },
        scope: Scope {
            permissions: vec![Permission::ReadVehicles, Permission::ReadOwnCommands],
            vehicle_ids: Some(vec![VehicleId(Uuid::from_u128(1))]),
        },
        created_by: Some(fleet.engineer),
        expires_at: at(100),
        last_used_at: None,
        last_used_from: None,
        revoked_at: None,
    }
}

/// A fleet with [`account`], whose key has the hash `hash`.
async fn with_account() -> Fleet {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    service_accounts::insert(&mut connection, &account(&fleet), "hash")
        .await
        .unwrap();
    fleet
}

async fn is_valid(fleet: &Fleet, hash: &str, seconds: i64) -> bool {
    let mut connection = fleet.connection().await;
    let found = service_accounts::find_by_key(&mut connection, hash, at(seconds)).await;
    let live = service_accounts::live(&mut connection, &[hash.to_owned()], at(seconds)).await;
    let is_found = found.unwrap().is_some();
    assert_eq!(!live.unwrap().is_empty(), is_found);
    is_found
}

#[tokio::test]
async fn stores_and_lists_accounts() {
    let fleet = with_account().await;
    let mut connection = fleet.connection().await;
    let found = service_accounts::find(&mut connection, ID).await.unwrap();
    assert_eq!(found, Some(account(&fleet)));
    let listed = service_accounts::list(&mut connection, page(10, 0)).await;
    assert_eq!(counted(listed.unwrap()), (vec![account(&fleet)], 1));
    let human = service_accounts::find(&mut connection, fleet.engineer).await;
    assert_eq!(human.unwrap(), None);
}

#[tokio::test]
async fn accepts_a_key_until_it_expires() {
    let fleet = with_account().await;
    assert!(is_valid(&fleet, "hash", 99).await);
    assert!(!is_valid(&fleet, "hash", 100).await);
    assert!(!is_valid(&fleet, "other", 0).await);
    let disable = "UPDATE users SET is_active = false WHERE username = 'monitor'";
    fleet.client.execute(disable, &[]).await.unwrap();
    assert!(!is_valid(&fleet, "hash", 0).await);
}

#[tokio::test]
async fn replaces_the_key_unless_the_account_is_revoked() {
    let fleet = with_account().await;
    let mut connection = fleet.connection().await;
    let replaced = service_accounts::replace_key(&mut connection, ID, "new", at(200)).await;
    assert!(replaced.unwrap());
    assert!(!is_valid(&fleet, "hash", 0).await);
    assert!(is_valid(&fleet, "new", 199).await);
    for expected in [true, false] {
        let revoked = service_accounts::revoke(&mut connection, ID, at(5)).await;
        assert_eq!(revoked.unwrap(), expected);
    }
    assert!(!is_valid(&fleet, "new", 0).await);
    let replaced = service_accounts::replace_key(&mut connection, ID, "newer", at(200)).await;
    assert!(!replaced.unwrap());
    let found = service_accounts::find(&mut connection, ID).await.unwrap();
    assert_eq!(found.unwrap().revoked_at, Some(at(5)));
}

#[tokio::test]
async fn records_the_last_use() {
    let fleet = with_account().await;
    let mut connection = fleet.connection().await;
    let from = "192.0.2.1".parse().unwrap();
    service_accounts::touch(&mut connection, ID, at(9), Some(from))
        .await
        .unwrap();
    let found = service_accounts::find(&mut connection, ID).await.unwrap();
    let found = found.unwrap();
    assert_eq!(found.last_used_at, Some(at(9)));
    assert_eq!(found.last_used_from, Some(from));
}

#[tokio::test]
async fn is_not_a_human_user_and_outlives_its_creator() {
    let fleet = with_account().await;
    let mut connection = fleet.connection().await;
    assert_eq!(users::find(&mut connection, ID).await.unwrap(), None);
    assert_eq!(users::lock(&mut connection, ID).await.unwrap(), None);
    let again = service_accounts::insert(&mut connection, &account(&fleet), "x").await;
    assert!(matches!(again, Err(StorageError::Duplicate { .. })));
    users::delete(&mut connection, fleet.engineer)
        .await
        .unwrap();
    let found = service_accounts::find(&mut connection, ID).await.unwrap();
    assert_eq!(found.unwrap().created_by, None);
}

#[tokio::test]
async fn locks_only_valid_keys() {
    let fleet = with_account().await;
    let mut connection = fleet.connection().await;
    for (hash, seconds, expected) in [("hash", 99, true), ("hash", 100, false), ("x", 0, false)] {
        let locked = service_accounts::lock_valid(&mut connection, hash, at(seconds)).await;
        assert_eq!(locked.unwrap(), expected, "{hash} at {seconds}");
    }
    service_accounts::revoke(&mut connection, ID, at(5))
        .await
        .unwrap();
    let locked = service_accounts::lock_valid(&mut connection, "hash", at(6)).await;
    assert!(!locked.unwrap());
}
