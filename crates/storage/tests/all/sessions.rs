use sovd_domain::{SessionId, UserId};
use sovd_storage::sessions::{self, NewSession};
use uuid::Uuid;

use crate::fleet::{Fleet, at};

/// A session that ends at `at(100)`.
pub(crate) fn session(number: u128, user_id: UserId, token_hash: &str) -> NewSession<'_> {
    NewSession {
        session_id: id(number),
        user_id,
        token_hash,
        expires_at: at(100),
        created_at: at(0),
    }
}

fn id(number: u128) -> SessionId {
    SessionId(Uuid::from_u128(number))
}

/// A fleet whose engineer has the session 1 with the token `old`.
async fn logged_in() -> Fleet {
    let fleet = Fleet::new().await;
    let session = session(1, fleet.engineer, "old");
    sessions::insert(&mut *fleet.connection().await, session)
        .await
        .unwrap();
    fleet
}

async fn rotate(fleet: &Fleet, old: &str, new: &str, now: i64) -> Option<SessionId> {
    let mut connection = fleet.connection().await;
    sessions::rotate(&mut connection, old, new, at(now), at(now + 100))
        .await
        .unwrap()
}

async fn user_at(fleet: &Fleet, seconds: i64) -> Option<UserId> {
    let mut connection = fleet.connection().await;
    let user = sessions::user_of(&mut connection, id(1), at(seconds)).await;
    user.unwrap().map(|user| user.user_id)
}

#[tokio::test]
async fn a_token_is_good_for_one_rotation() {
    let fleet = logged_in().await;
    assert_eq!(rotate(&fleet, "old", "new", 50).await, Some(id(1)));
    assert_eq!(rotate(&fleet, "old", "stolen", 51).await, None);
    assert_eq!(rotate(&fleet, "stolen", "x", 51).await, None);
    assert_eq!(rotate(&fleet, "new", "newer", 149).await, Some(id(1)));
}

#[tokio::test]
async fn of_many_rotations_at_once_one_wins() {
    let fleet = logged_in().await;
    let tokens: Vec<String> = (0..10).map(|number| format!("new {number}")).collect();
    let rotations = tokens.iter().map(|new| rotate(&fleet, "old", new, 50));
    let outcomes = futures_util::future::join_all(rotations).await;
    assert_eq!(outcomes.iter().flatten().count(), 1);
    let winner = outcomes.iter().position(Option::is_some).unwrap();
    let next = rotate(&fleet, &tokens[winner], "next", 51).await;
    assert_eq!(next, Some(id(1)));
}

#[tokio::test]
async fn an_expired_session_is_worth_nothing() {
    let fleet = logged_in().await;
    assert_eq!(user_at(&fleet, 99).await, Some(fleet.engineer));
    assert_eq!(user_at(&fleet, 100).await, None);
    assert_eq!(rotate(&fleet, "old", "new", 100).await, None);
    assert_eq!(rotate(&fleet, "old", "new", 99).await, Some(id(1)));
}

#[tokio::test]
async fn a_rotation_prolongs_the_session() {
    let fleet = logged_in().await;
    rotate(&fleet, "old", "new", 50).await;
    assert_eq!(user_at(&fleet, 149).await, Some(fleet.engineer));
    assert_eq!(user_at(&fleet, 150).await, None);
}

#[tokio::test]
async fn nobody_ends_the_session_of_another_user() {
    let fleet = logged_in().await;
    let stranger = fleet.user("stranger").await;
    let mut connection = fleet.connection().await;
    let ended = sessions::end_by_token(&mut connection, stranger, "old").await;
    assert_eq!(ended.unwrap(), None);
    assert_eq!(user_at(&fleet, 0).await, Some(fleet.engineer));
    let ended = sessions::end_by_token(&mut connection, fleet.engineer, "old").await;
    assert_eq!(ended.unwrap(), Some(id(1)));
    assert_eq!(user_at(&fleet, 0).await, None);
    let again = sessions::end_by_token(&mut connection, fleet.engineer, "old").await;
    assert_eq!(again.unwrap(), None);
}

#[tokio::test]
async fn all_sessions_of_one_user_end_together() {
    let fleet = logged_in().await;
    let stranger = fleet.user("stranger").await;
    let mut connection = fleet.connection().await;
    for session in [
        session(2, fleet.engineer, "second"),
        session(3, stranger, "third"),
    ] {
        sessions::insert(&mut connection, session).await.unwrap();
    }
    let ended = sessions::end_all(&mut connection, fleet.engineer).await;
    assert_eq!(ended.unwrap(), 2);
    assert_eq!(rotate(&fleet, "old", "new", 1).await, None);
    assert_eq!(rotate(&fleet, "third", "new", 1).await, Some(id(3)));
}
