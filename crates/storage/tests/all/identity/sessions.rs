use chrono::{DateTime, Utc};
use futures_util::future::{join, join_all};
use sovd_domain::{ClientInfo, Role, Session, SessionId, UserId};
use sovd_storage::identity::sessions;
use uuid::Uuid;

use crate::{
    fixture::{Fleet, at},
    waiting::wait_until_blocked,
};

/// A session that expires at `at(100)`.
pub(crate) fn session(number: u128, user_id: UserId) -> Session {
    Session {
        session_id: id(number),
        user_id,
        created_at: at(0),
        expires_at: at(100),
        ends_at: at(1000),
        last_used_at: at(0),
        client: ClientInfo {
            ip_address: Some("2001:db8::1".parse().unwrap()),
            user_agent: Some("curl/8".to_owned()),
        },
    }
}

pub(crate) fn id(number: u128) -> SessionId {
    SessionId(Uuid::from_u128(number))
}

/// A fleet whose engineer has session 1 with the refresh token `old`.
pub(crate) async fn logged_in() -> Fleet {
    let fleet = Fleet::new().await;
    add(&fleet, &session(1, fleet.engineer), "old").await;
    fleet
}

pub(crate) async fn add(fleet: &Fleet, session: &Session, token_hash: &str) {
    sessions::insert(&mut *fleet.connection().await, session, token_hash)
        .await
        .unwrap();
}

/// Replaces the token `old` with `new`, which expires 100 seconds after `now`.
async fn rotate(fleet: &Fleet, old: &str, new: &str, now: i64) -> Option<SessionId> {
    let mut transaction = fleet.pool.begin().await.unwrap();
    let session = sessions::lock_by_token(&mut transaction, old, at(now)).await;
    let mut session = session.unwrap()?;
    session.expires_at = at(now + 100);
    session.last_used_at = at(now);
    sessions::renew(&mut transaction, &session, new)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    Some(session.session_id)
}

async fn user_at(fleet: &Fleet, seconds: i64) -> Option<(UserId, DateTime<Utc>)> {
    let mut connection = fleet.connection().await;
    let user = sessions::user_of(&mut connection, id(1), at(seconds)).await;
    user.unwrap().map(|(user, used)| (user.user_id, used))
}

async fn listed(fleet: &Fleet, seconds: i64) -> Vec<SessionId> {
    let mut connection = fleet.connection().await;
    let sessions = sessions::list(&mut connection, fleet.engineer, at(seconds)).await;
    sessions.unwrap().iter().map(|one| one.session_id).collect()
}

#[tokio::test]
async fn stores_sessions() {
    let fleet = logged_in().await;
    let mut connection = fleet.connection().await;
    let listed = sessions::list(&mut connection, fleet.engineer, at(0)).await;
    assert_eq!(listed.unwrap(), [session(1, fleet.engineer)]);
}

#[tokio::test]
async fn rotates_each_token_once() {
    let fleet = logged_in().await;
    assert_eq!(rotate(&fleet, "old", "new", 50).await, Some(id(1)));
    assert_eq!(rotate(&fleet, "old", "stolen", 51).await, None);
    assert_eq!(rotate(&fleet, "stolen", "x", 51).await, None);
    assert_eq!(rotate(&fleet, "new", "newer", 149).await, Some(id(1)));
}

#[tokio::test]
async fn one_of_concurrent_rotations_wins() {
    let fleet = logged_in().await;
    let tokens: Vec<String> = (0..10).map(|number| format!("new {number}")).collect();
    let rotations = tokens.iter().map(|new| rotate(&fleet, "old", new, 50));
    let outcomes = join_all(rotations).await;
    assert_eq!(outcomes.iter().flatten().count(), 1);
    let winner = outcomes.iter().position(Option::is_some).unwrap();
    let next = rotate(&fleet, &tokens[winner], "next", 51).await;
    assert_eq!(next, Some(id(1)));
}

#[tokio::test]
async fn ignores_expired_sessions() {
    let fleet = logged_in().await;
    assert_eq!(user_at(&fleet, 99).await, Some((fleet.engineer, at(0))));
    assert_eq!(user_at(&fleet, 100).await, None);
    assert_eq!(listed(&fleet, 99).await, [id(1)]);
    assert!(listed(&fleet, 100).await.is_empty());
    assert_eq!(rotate(&fleet, "old", "new", 100).await, None);
    assert_eq!(rotate(&fleet, "old", "new", 99).await, Some(id(1)));
}

#[tokio::test]
async fn rotation_extends_the_session() {
    let fleet = logged_in().await;
    rotate(&fleet, "old", "new", 50).await;
    assert_eq!(user_at(&fleet, 149).await, Some((fleet.engineer, at(50))));
    assert_eq!(user_at(&fleet, 150).await, None);
}

#[tokio::test]
async fn disabled_users_have_no_live_sessions() {
    let fleet = logged_in().await;
    let sql = "UPDATE users SET is_active = false";
    fleet.client.execute(sql, &[]).await.unwrap();
    assert_eq!(user_at(&fleet, 0).await, None);
    let mut connection = fleet.connection().await;
    let live = sessions::live(&mut connection, &[id(1)], at(0)).await;
    assert!(live.unwrap().is_empty());
}

#[tokio::test]
async fn returns_only_live_sessions() {
    let fleet = logged_in().await;
    let mut late = session(2, fleet.engineer);
    late.expires_at = at(50);
    add(&fleet, &late, "late").await;
    let mut connection = fleet.connection().await;
    let mut live = async |seconds| {
        let asked = [id(1), id(2), id(3)];
        let mut live = sessions::live(&mut connection, &asked, at(seconds))
            .await
            .unwrap();
        live.sort();
        live
    };
    assert_eq!(live(49).await, [id(1), id(2)]);
    assert_eq!(live(50).await, [id(1)]);
}

#[tokio::test]
async fn last_use_only_moves_forward() {
    let fleet = logged_in().await;
    let mut connection = fleet.connection().await;
    for seconds in [60, 30] {
        sessions::touch(&mut connection, id(1), at(seconds))
            .await
            .unwrap();
        assert_eq!(user_at(&fleet, 61).await, Some((fleet.engineer, at(60))));
    }
}

#[tokio::test]
async fn ends_only_sessions_of_the_given_user() {
    let fleet = logged_in().await;
    let other = fleet.user("other").await;
    let mut connection = fleet.connection().await;
    let ended = sessions::end_by_token(&mut connection, other, "old").await;
    assert_eq!(ended.unwrap(), None);
    let ended = sessions::end(&mut connection, other, id(1)).await;
    assert!(!ended.unwrap());
    assert_eq!(listed(&fleet, 0).await, [id(1)]);
    let ended = sessions::end_by_token(&mut connection, fleet.engineer, "old").await;
    assert_eq!(ended.unwrap(), Some(id(1)));
    assert!(listed(&fleet, 0).await.is_empty());
    let again = sessions::end_by_token(&mut connection, fleet.engineer, "old").await;
    assert_eq!(again.unwrap(), None);
}

#[tokio::test]
async fn ends_a_session_once() {
    let fleet = logged_in().await;
    let mut connection = fleet.connection().await;
    for expected in [true, false] {
        let ended = sessions::end(&mut connection, fleet.engineer, id(1)).await;
        assert_eq!(ended.unwrap(), expected);
    }
}

#[tokio::test]
async fn ends_all_sessions_of_a_user_except_the_kept_one() {
    let fleet = logged_in().await;
    let other = fleet.user("other").await;
    add(&fleet, &session(2, fleet.engineer), "second").await;
    add(&fleet, &session(3, fleet.engineer), "third").await;
    add(&fleet, &session(4, other), "fourth").await;
    let mut connection = fleet.connection().await;
    let ended = sessions::end_all(&mut connection, fleet.engineer, Some(id(2))).await;
    assert_eq!(ended.unwrap(), 2);
    assert_eq!(listed(&fleet, 0).await, [id(2)]);
    let ended = sessions::end_all(&mut connection, fleet.engineer, None).await;
    assert_eq!(ended.unwrap(), 1);
    assert_eq!(rotate(&fleet, "second", "new", 1).await, None);
    assert_eq!(rotate(&fleet, "fourth", "new", 1).await, Some(id(4)));
}

#[tokio::test]
async fn deletes_only_expired_sessions() {
    let fleet = logged_in().await;
    let mut connection = fleet.connection().await;
    assert_eq!(
        sessions::delete_expired(&mut connection, at(99))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        sessions::delete_expired(&mut connection, at(100))
            .await
            .unwrap(),
        1
    );
    assert_eq!(fleet.count("sessions").await, 0);
}

#[tokio::test]
async fn locks_only_live_sessions_of_users_with_the_role() {
    let fleet = logged_in().await;
    let mut connection = fleet.connection().await;
    let mut is_locked = async |number, role, seconds| {
        sessions::lock_live(&mut connection, id(number), role, at(seconds))
            .await
            .unwrap()
    };
    assert!(is_locked(1, Role::Engineer, 99).await);
    assert!(!is_locked(1, Role::Engineer, 100).await);
    assert!(!is_locked(1, Role::Admin, 0).await);
    assert!(!is_locked(2, Role::Engineer, 0).await);
    let disable = "UPDATE users SET is_active = false";
    fleet.client.execute(disable, &[]).await.unwrap();
    assert!(!is_locked(1, Role::Engineer, 0).await);
}

#[tokio::test]
async fn ending_a_session_waits_for_its_lock() {
    let fleet = logged_in().await;
    let mut transaction = fleet.pool.begin().await.unwrap();
    let locked = sessions::lock_live(&mut transaction, id(1), Role::Engineer, at(0)).await;
    assert!(locked.unwrap());
    let end = async {
        let mut connection = fleet.connection().await;
        sessions::end(&mut connection, fleet.engineer, id(1)).await
    };
    let commit = async {
        wait_until_blocked(&fleet, 1).await;
        transaction.commit().await.unwrap();
    };
    let (ended, ()) = join(end, commit).await;
    assert!(ended.unwrap());
}

#[tokio::test]
async fn ends_the_least_recently_used_sessions() {
    let fleet = logged_in().await;
    for number in 2..=4 {
        let mut session = session(number, fleet.engineer);
        session.last_used_at = at(i64::try_from(number).unwrap());
        add(&fleet, &session, &number.to_string()).await;
    }
    let mut connection = fleet.connection().await;
    for (kept, expected) in [(4, 4), (2, 2), (2, 2)] {
        sessions::end_oldest(&mut connection, fleet.engineer, kept)
            .await
            .unwrap();
        assert_eq!(listed(&fleet, 5).await.len(), expected);
    }
    assert_eq!(listed(&fleet, 5).await, [id(4), id(3)]);
}

#[tokio::test]
async fn finds_the_owner_of_a_token() {
    let fleet = logged_in().await;
    let mut connection = fleet.connection().await;
    for (token, owner) in [("old", Some(fleet.engineer)), ("new", None)] {
        let found = sessions::owner_of_token(&mut connection, token).await;
        assert_eq!(found.unwrap(), owner);
    }
}
