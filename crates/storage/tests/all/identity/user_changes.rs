use futures_util::future::join;
use sovd_domain::{Listing, Role, User, UserId};
use sovd_storage::{
    StorageError,
    identity::users::{self, Credentials, UserFilter},
};
use uuid::Uuid;

use crate::{
    fixture::{Fleet, at, page},
    waiting::wait_until_blocked,
};

fn user(number: u128, name: &str, role: Role) -> User {
    User {
        user_id: UserId(Uuid::from_u128(number)),
        username: name.to_owned(),
        email: format!("{name}@example.com"),
        role,
        is_active: true,
        created_at: at(0),
    }
}

async fn add(fleet: &Fleet, user: &User) -> Result<(), StorageError> {
    let credentials = Credentials {
        user: user.clone(),
        password_hash: "hash".to_owned(),
    };
    users::insert(&mut *fleet.connection().await, &credentials).await
}

#[tokio::test]
async fn inserts_updates_and_deletes_users() {
    let fleet = Fleet::new().await;
    let mut bob = user(1, "bob", Role::Engineer);
    add(&fleet, &bob).await.unwrap();
    let mut connection = fleet.connection().await;
    let found = users::find(&mut connection, bob.user_id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&bob));

    bob.email = "robert@example.com".to_owned();
    bob.role = Role::Admin;
    bob.is_active = false;
    users::update(&mut connection, &bob, at(5)).await.unwrap();
    users::set_password(&mut connection, bob.user_id, "other", at(6))
        .await
        .unwrap();
    let found = users::credentials(&mut connection, bob.user_id).await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.user, bob);
    assert_eq!(found.password_hash, "other");

    users::delete(&mut connection, bob.user_id).await.unwrap();
    let found = users::find(&mut connection, bob.user_id).await.unwrap();
    assert_eq!(found, None);
}

#[tokio::test]
async fn duplicate_error_names_the_constraint() {
    let fleet = Fleet::new().await;
    add(&fleet, &user(1, "bob", Role::Engineer)).await.unwrap();
    let mut twin = user(2, "bob", Role::Engineer);
    twin.email = "twin@example.com".to_owned();
    let mut guest = user(3, "guest", Role::Engineer);
    guest.email = "bob@example.com".to_owned();
    for (user, taken) in [(twin, "unq_users_username"), (guest, "unq_users_email")] {
        match add(&fleet, &user).await.unwrap_err() {
            StorageError::Duplicate { constraint } => assert_eq!(constraint, taken),
            error => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn filters_by_role_and_part_of_name_or_address() {
    let fleet = Fleet::new().await;
    for (number, name, role) in [
        (1, "anna", Role::Admin),
        (2, "bob_1", Role::Engineer),
        (3, "bobx1", Role::Engineer),
    ] {
        add(&fleet, &user(number, name, role)).await.unwrap();
    }
    let mut connection = fleet.connection().await;
    let mut names = async |role, search: Option<&str>| {
        let filter = UserFilter {
            role,
            search: search.map(str::to_owned),
        };
        let Listing {
            items: found,
            total,
            ..
        } = users::list(&mut connection, &filter, page(10, 0))
            .await
            .unwrap();
        assert_eq!(usize::try_from(total).unwrap(), found.len());
        found
            .into_iter()
            .map(|user| user.username)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(None, None).await,
        ["anna", "bob_1", "bobx1", "engineer"]
    );
    assert_eq!(names(Some(Role::Admin), None).await, ["anna"]);
    assert_eq!(names(None, Some("BOB_1")).await, ["bob_1"]);
    assert_eq!(names(None, Some("anna@EXAMPLE")).await, ["anna"]);
    assert!(names(None, Some("%")).await.is_empty());
    assert!(names(Some(Role::Admin), Some("bob")).await.is_empty());
}

#[tokio::test]
async fn pages_come_with_the_total() {
    let fleet = Fleet::new().await;
    for number in 1..=4 {
        let name = format!("user{number}");
        add(&fleet, &user(number, &name, Role::Engineer))
            .await
            .unwrap();
    }
    let mut connection = fleet.connection().await;
    let filter = UserFilter::default();
    let Listing {
        items: found,
        total,
        ..
    } = users::list(&mut connection, &filter, page(2, 1))
        .await
        .unwrap();
    let names: Vec<&str> = found.iter().map(|user| user.username.as_str()).collect();
    assert_eq!(
        (names.as_slice(), total),
        (["user1", "user2"].as_slice(), 5)
    );
}

#[tokio::test]
async fn locking_the_admins_waits_and_sees_the_change() {
    let fleet = Fleet::new().await;
    let [mut anna, berta] = [(1, "anna"), (2, "berta")].map(|(n, name)| user(n, name, Role::Admin));
    for admin in [&anna, &berta] {
        add(&fleet, admin).await.unwrap();
    }
    let mut first = fleet.pool.begin().await.unwrap();
    let locked = users::lock_active_admins(&mut first).await.unwrap();
    assert_eq!(locked, [anna.user_id, berta.user_id]);
    let second = async {
        let mut second = fleet.pool.begin().await.unwrap();
        let seen = users::lock_active_admins(&mut second).await.unwrap();
        second.rollback().await.unwrap();
        seen
    };
    let first = async {
        wait_until_blocked(&fleet, 1).await;
        anna.role = Role::Engineer;
        users::update(&mut first, &anna, at(1)).await.unwrap();
        first.commit().await.unwrap();
    };
    let (seen, ()) = join(second, first).await;
    assert_eq!(seen, [berta.user_id]);
}

#[tokio::test]
async fn reports_open_commands_until_they_have_ended() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let mut connection = fleet.connection().await;
    let engineer = fleet.engineer;
    let other = fleet.user("other").await;
    let mut is_busy = async |user| {
        let open = users::has_open_commands(&mut connection, user).await;
        open.unwrap()
    };
    assert!(!is_busy(engineer).await);
    fleet.submit(1, vehicle).await;
    assert!(is_busy(engineer).await);
    assert!(!is_busy(other).await);
    fleet
        .client
        .execute("DELETE FROM command_queue", &[])
        .await
        .unwrap();
    assert!(!is_busy(engineer).await);
}

#[tokio::test]
async fn locks_a_user_only_with_the_current_hash() {
    let fleet = Fleet::new().await;
    let bob = user(1, "bob", Role::Engineer);
    add(&fleet, &bob).await.unwrap();
    let mut connection = fleet.connection().await;
    let known = users::credentials(&mut connection, bob.user_id).await;
    let known = known.unwrap().unwrap();
    assert!(
        users::lock_with_hash(&mut connection, &known)
            .await
            .unwrap()
    );
    users::set_password(&mut connection, bob.user_id, "other", at(1))
        .await
        .unwrap();
    assert!(
        !users::lock_with_hash(&mut connection, &known)
            .await
            .unwrap()
    );
    users::set_password(&mut connection, bob.user_id, "hash", at(2))
        .await
        .unwrap();
    let disabled = User {
        is_active: false,
        ..bob
    };
    users::update(&mut connection, &disabled, at(3))
        .await
        .unwrap();
    assert!(
        !users::lock_with_hash(&mut connection, &known)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn deletion_waits_for_a_kept_user() {
    let fleet = Fleet::new().await;
    let mut transaction = fleet.pool.begin().await.unwrap();
    users::prevent_deletion(&mut transaction, fleet.engineer)
        .await
        .unwrap();
    let delete = async {
        let mut deletion = fleet.pool.begin().await.unwrap();
        let user = users::lock_for_deletion(&mut deletion, fleet.engineer).await;
        deletion.rollback().await.unwrap();
        user.unwrap().is_some()
    };
    let commit = async {
        wait_until_blocked(&fleet, 1).await;
        transaction.commit().await.unwrap();
    };
    assert_eq!(join(delete, commit).await, (true, ()));
}

#[tokio::test]
async fn change_waits_for_all_shared_locks() {
    let fleet = Fleet::new().await;
    let (mut one, mut two) = (
        fleet.pool.begin().await.unwrap(),
        fleet.pool.begin().await.unwrap(),
    );
    for transaction in [&mut one, &mut two] {
        let user = users::lock_shared(transaction, fleet.engineer).await;
        assert_eq!(user.unwrap().unwrap().user_id, fleet.engineer);
        let missing = users::lock_shared(transaction, UserId(Uuid::nil())).await;
        assert_eq!(missing.unwrap(), None);
    }
    let change = async {
        let mut change = fleet.pool.begin().await.unwrap();
        let user = users::lock(&mut change, fleet.engineer).await.unwrap();
        change.rollback().await.unwrap();
        user.is_some()
    };
    let commit = async {
        wait_until_blocked(&fleet, 1).await;
        one.commit().await.unwrap();
        wait_until_blocked(&fleet, 1).await;
        two.commit().await.unwrap();
    };
    assert_eq!(join(change, commit).await, (true, ()));
}

#[tokio::test]
async fn shared_lock_waits_and_sees_the_change() {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    let engineer = users::find(&mut connection, fleet.engineer).await;
    let promoted = User {
        role: Role::Admin,
        ..engineer.unwrap().unwrap()
    };
    let mut change = fleet.pool.begin().await.unwrap();
    users::lock(&mut change, fleet.engineer).await.unwrap();
    let keep = async {
        let mut transaction = fleet.pool.begin().await.unwrap();
        let user = users::lock_shared(&mut transaction, fleet.engineer).await;
        transaction.rollback().await.unwrap();
        user.unwrap().unwrap().role
    };
    let commit = async {
        wait_until_blocked(&fleet, 1).await;
        users::update(&mut change, &promoted, at(5)).await.unwrap();
        change.commit().await.unwrap();
    };
    assert_eq!(join(keep, commit).await, (Role::Admin, ()));
}
