use std::{net::IpAddr, sync::Arc, time::Duration};

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_domain::audit::Origin;
use sovd_services::{
    AuthFailure, ServiceError,
    identity::auth::{Auth, AuthSettings, SignatureAlgorithm, SigningKeys, ThrottleSettings},
};

use crate::{fixture::TestBed, scripted_connector::ScriptedConnector};

/// bcrypt at cost 4 of `engineer123`.
const CHEAP: &str = "UPDATE users SET password_hash =
    '$2b$04$KO8HgMxXotcuHip4uQbJS.s.YO/xUbfj2C0xrV2NR3qRLHvx8rgtu'";

const HOME: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

/// What a login came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    In,
    Wrong,
    /// After so many seconds it may be tried again.
    Wait(u64),
}
use Outcome::{In, Wait, Wrong};

struct Door {
    bed: TestBed,
    auth: Arc<Auth>,
}

impl Door {
    async fn new(account_attempts: u32, address_attempts: u32) -> Self {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        bed.sql().await.batch_execute(CHEAP).await.unwrap();
        let secret = "0123456789abcdef0123456789abcdef";
        let settings = AuthSettings {
            keys: SigningKeys::new(SignatureAlgorithm::Hs256, &secret.into(), None).unwrap(),
            access_ttl: Duration::from_mins(15),
            leeway: Duration::ZERO,
            refresh_ttl: Duration::from_hours(1),
            session_ttl: Duration::from_hours(24),
            bcrypt_cost: 4,
            throttle: ThrottleSettings {
                account_attempts,
                address_attempts,
            },
        };
        let auth = Arc::new(bed.parts.auth(settings));
        Self { bed, auth }
    }

    async fn log_in(&self, username: &str, password: &str, address: &str) -> Outcome {
        let origin = Origin {
            ip_address: Some(address.parse::<IpAddr>().unwrap()),
            ..Origin::default()
        };
        match self.auth.login(username, password.into(), origin).await {
            Ok(_) => In,
            Err(ServiceError::NotAuthenticated(AuthFailure::InvalidCredentials)) => Wrong,
            Err(ServiceError::RateLimited { retry_after }) => Wait(retry_after.as_secs()),
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn guess(&self, username: &str, address: &str) -> Outcome {
        self.log_in(username, "wrong", address).await
    }

    async fn right(&self, address: &str) -> Outcome {
        self.log_in("engineer", "engineer123", address).await
    }

    /// Fails so often, and lets each wait pass.
    async fn fail(&self, username: &str, address: &str, count: usize) {
        for _ in 0..count {
            while let Wait(seconds) = self.guess(username, address).await {
                self.pass(seconds);
            }
        }
    }

    fn pass(&self, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap();
        self.bed.timer.advance(TimeDelta::seconds(seconds));
    }

    /// What the audit trail says of refused logins, in order.
    async fn throttled(&self) -> Vec<Value> {
        let sql = "SELECT details, result, user_id IS NULL FROM audit_logs
                   WHERE action = 'auth.login_throttled' ORDER BY timestamp, ctid";
        let rows = self.bed.sql().await.query(sql, &[]).await.unwrap();
        assert!(rows.iter().all(|row| row.get::<_, String>(1) == "refused"));
        assert!(rows.iter().all(|row| row.get::<_, bool>(2)));
        rows.iter().map(|row| row.get(0)).collect()
    }
}

#[tokio::test]
async fn known_and_unknown_accounts_are_held_up_alike() {
    let door = Door::new(3, 0).await;
    for username in ["engineer", "nobody"] {
        for _ in 0..4 {
            assert_eq!(door.guess(username, HOME).await, Wrong);
        }
        let mut waits = Vec::new();
        for _ in 0..8 {
            let Wait(seconds) = door.guess(username, HOME).await else {
                panic!("{username} may go on after {waits:?}");
            };
            waits.push(seconds);
            door.bed.timer.advance(TimeDelta::milliseconds(
                i64::try_from(seconds).unwrap() * 1000 - 1,
            ));
            assert_eq!(door.guess(username, HOME).await, Wait(1), "rounded up");
            door.bed.timer.advance(TimeDelta::milliseconds(1));
            assert_eq!(door.guess(username, HOME).await, Wrong);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60], "{username}");
    }
}

#[tokio::test]
async fn refused_logins_do_not_make_the_wait_longer_even_with_the_right_password() {
    let door = Door::new(3, 0).await;
    door.fail("engineer", HOME, 5).await;
    for _ in 0..50 {
        assert_eq!(door.guess("engineer", HOME).await, Wait(2));
        assert_eq!(door.right(ELSEWHERE).await, Wait(2));
    }
    door.pass(2);
    assert_eq!(door.right(ELSEWHERE).await, In);
}

#[tokio::test]
async fn an_account_forgets_after_a_quarter_of_an_hour_without_failure() {
    let door = Door::new(3, 0).await;
    door.fail("engineer", HOME, 3).await;
    door.pass(15 * 60 - 1);
    assert_eq!(door.guess("engineer", HOME).await, Wrong);
    assert_eq!(door.guess("engineer", HOME).await, Wait(1), "it remembers");
    door.pass(15 * 60);
    for _ in 0..4 {
        assert_eq!(door.guess("engineer", HOME).await, Wrong, "it forgot");
    }
    assert_eq!(door.guess("engineer", HOME).await, Wait(1));
}

#[tokio::test]
async fn an_address_is_held_up_whatever_accounts_it_guesses() {
    let door = Door::new(0, 4).await;
    for number in 0..5 {
        assert_eq!(door.guess(&format!("user {number}"), HOME).await, Wrong);
    }
    assert_eq!(door.right(HOME).await, Wait(1));
    assert_eq!(door.right(ELSEWHERE).await, In);
    door.fail("nobody", HOME, 20).await;
    assert_eq!(door.guess("other", HOME).await, Wait(15 * 60));
    door.pass(60 * 60);
    for _ in 0..5 {
        assert_eq!(door.guess("nobody", HOME).await, Wrong, "it forgot");
    }
}

#[tokio::test]
async fn a_network_of_ipv6_counts_as_one_address() {
    let door = Door::new(0, 2).await;
    for host in 1..=3 {
        let address = format!("2001:db8:1:2::{host}");
        assert_eq!(door.guess("nobody", &address).await, Wrong);
    }
    assert_eq!(door.right("2001:db8:1:2:ffff::").await, Wait(1));
    assert_eq!(door.right("2001:db8:1:3::1").await, In);
}

#[tokio::test]
async fn strangers_cannot_keep_an_owner_out_of_a_known_address() {
    let door = Door::new(3, 0).await;
    assert_eq!(door.right(HOME).await, In);
    door.fail("engineer", ELSEWHERE, 12).await;
    assert_eq!(door.guess("engineer", ELSEWHERE).await, Wait(60));
    assert_eq!(door.right(HOME).await, In);
    // Where the owner is known one may fail as often as anywhere.
    for _ in 0..4 {
        assert_eq!(door.guess("engineer", HOME).await, Wrong);
    }
    assert_eq!(door.right(HOME).await, Wait(1));
    door.pass(1);
    assert_eq!(door.right(HOME).await, In);
    for _ in 0..4 {
        assert_eq!(door.guess("engineer", HOME).await, Wrong, "forgiven");
    }
}

#[tokio::test]
async fn an_address_is_known_for_ninety_days_after_the_last_login() {
    const DAY: u64 = 24 * 60 * 60;
    let door = Door::new(3, 0).await;
    assert_eq!(door.right(HOME).await, In);
    door.pass(89 * DAY);
    assert_eq!(door.right(HOME).await, In);
    door.pass(90 * DAY - 3);
    door.fail("engineer", ELSEWHERE, 5).await;
    // One of the failures took a second of waiting.
    assert_eq!(door.right(HOME).await, In);
    door.pass(90 * DAY);
    door.fail("engineer", ELSEWHERE, 5).await;
    assert_eq!(door.right(HOME).await, Wait(2));
}

#[tokio::test]
async fn a_success_does_not_forgive_what_else_its_address_failed_at() {
    let door = Door::new(3, 4).await;
    for number in 0..4 {
        assert_eq!(door.guess(&format!("user {number}"), HOME).await, Wrong);
    }
    assert_eq!(door.right(HOME).await, In);
    assert_eq!(door.guess("another", HOME).await, Wrong);
    assert_eq!(door.guess("another", HOME).await, Wait(1));
}

#[tokio::test]
async fn right_passwords_are_never_too_many() {
    let door = Door::new(1, 1).await;
    let logins = (0..50).map(|_| door.right(HOME));
    assert!(join_all(logins).await.iter().all(|outcome| *outcome == In));
}

#[tokio::test]
async fn guesses_made_at_once_are_judged_like_guesses_made_in_turn() {
    let door = Door::new(3, 0).await;
    let outcomes = join_all((0..40).map(|_| door.guess("engineer", HOME))).await;
    let tried = outcomes.iter().filter(|outcome| **outcome == Wrong).count();
    // Whoever has a place already is not stopped any more.
    let places = std::thread::available_parallelism().unwrap().get() / 2;
    assert!((4..4 + places.max(1)).contains(&tried), "{tried}");
}

#[tokio::test]
async fn the_audit_trail_has_one_line_for_each_wait() {
    let door = Door::new(1, 0).await;
    door.guess("engineer", HOME).await;
    door.guess("engineer", HOME).await;
    for _ in 0..10 {
        assert_eq!(door.guess("engineer", HOME).await, Wait(1));
    }
    door.pass(1);
    door.guess("engineer", HOME).await;
    for _ in 0..10 {
        assert_eq!(door.guess("engineer", ELSEWHERE).await, Wait(2));
    }
    let line = |seconds| json!({ "username": "engineer", "by": "account", "retry_after_seconds": seconds });
    assert_eq!(door.throttled().await, [line(1), line(2)]);
}

#[tokio::test]
async fn without_limits_nobody_waits() {
    let door = Door::new(0, 0).await;
    for _ in 0..40 {
        assert_eq!(door.guess("engineer", HOME).await, Wrong);
    }
    assert_eq!(door.right(HOME).await, In);
}
