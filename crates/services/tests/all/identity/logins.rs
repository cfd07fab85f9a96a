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

/// The outcome of a login.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    LoggedIn,
    Wrong,
    /// Throttled for this many seconds.
    Throttled(u64),
}
use Outcome::{LoggedIn, Throttled, Wrong};

struct LoginFixture {
    bed: TestBed,
    auth: Arc<Auth>,
}

impl LoginFixture {
    async fn new(account_attempts: u32, address_attempts: u32) -> Self {
        let bed = TestBed::new(ScriptedConnector::new()).await;
        bed.sql().await.batch_execute(CHEAP).await.unwrap();
        let secret = "0123456789abcdef0123456789abcdef";
        let settings = AuthSettings {
            keys: SigningKeys::new(SignatureAlgorithm::HS256, &secret.into(), None).unwrap(),
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
            Ok(_) => LoggedIn,
            Err(ServiceError::NotAuthenticated(AuthFailure::InvalidCredentials)) => Wrong,
            Err(ServiceError::RateLimited { retry_after }) => Throttled(retry_after.as_secs()),
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn guess(&self, username: &str, address: &str) -> Outcome {
        self.log_in(username, "wrong", address).await
    }

    async fn log_in_correctly(&self, address: &str) -> Outcome {
        self.log_in("engineer", "engineer123", address).await
    }

    /// Fails `count` logins, waiting out each delay.
    async fn fail(&self, username: &str, address: &str, count: usize) {
        for _ in 0..count {
            while let Throttled(seconds) = self.guess(username, address).await {
                self.advance(seconds);
            }
        }
    }

    fn advance(&self, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap();
        self.bed.timer.advance(TimeDelta::seconds(seconds));
    }

    /// The details of the audit entries of throttled logins, oldest first.
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
async fn throttles_known_and_unknown_accounts_alike() {
    let logins = LoginFixture::new(3, 0).await;
    for username in ["engineer", "nobody"] {
        for _ in 0..4 {
            assert_eq!(logins.guess(username, HOME).await, Wrong);
        }
        let mut delays = Vec::new();
        for _ in 0..8 {
            let Throttled(seconds) = logins.guess(username, HOME).await else {
                panic!("{username} is not throttled after {delays:?}");
            };
            delays.push(seconds);
            logins.bed.timer.advance(TimeDelta::milliseconds(
                i64::try_from(seconds).unwrap() * 1000 - 1,
            ));
            assert_eq!(
                logins.guess(username, HOME).await,
                Throttled(1),
                "rounded up"
            );
            logins.bed.timer.advance(TimeDelta::milliseconds(1));
            assert_eq!(logins.guess(username, HOME).await, Wrong);
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60], "{username}");
    }
}

#[tokio::test]
async fn throttled_logins_do_not_extend_the_delay() {
    let logins = LoginFixture::new(3, 0).await;
    logins.fail("engineer", HOME, 5).await;
    for _ in 0..50 {
        assert_eq!(logins.guess("engineer", HOME).await, Throttled(2));
        assert_eq!(logins.log_in_correctly(ELSEWHERE).await, Throttled(2));
    }
    logins.advance(2);
    assert_eq!(logins.log_in_correctly(ELSEWHERE).await, LoggedIn);
}

#[tokio::test]
async fn resets_an_account_after_15_minutes_without_failure() {
    let logins = LoginFixture::new(3, 0).await;
    logins.fail("engineer", HOME, 3).await;
    logins.advance(15 * 60 - 1);
    assert_eq!(logins.guess("engineer", HOME).await, Wrong);
    assert_eq!(
        logins.guess("engineer", HOME).await,
        Throttled(1),
        "still counted"
    );
    logins.advance(15 * 60);
    for _ in 0..4 {
        assert_eq!(logins.guess("engineer", HOME).await, Wrong, "reset");
    }
    assert_eq!(logins.guess("engineer", HOME).await, Throttled(1));
}

#[tokio::test]
async fn throttles_an_address_across_accounts() {
    let logins = LoginFixture::new(0, 4).await;
    for number in 0..5 {
        assert_eq!(logins.guess(&format!("user {number}"), HOME).await, Wrong);
    }
    assert_eq!(logins.log_in_correctly(HOME).await, Throttled(1));
    assert_eq!(logins.log_in_correctly(ELSEWHERE).await, LoggedIn);
    logins.fail("nobody", HOME, 20).await;
    assert_eq!(logins.guess("other", HOME).await, Throttled(15 * 60));
    logins.advance(60 * 60);
    for _ in 0..5 {
        assert_eq!(logins.guess("nobody", HOME).await, Wrong, "reset");
    }
}

#[tokio::test]
async fn counts_an_ipv6_network_as_one_address() {
    let logins = LoginFixture::new(0, 2).await;
    for host in 1..=3 {
        let address = format!("2001:db8:1:2::{host}");
        assert_eq!(logins.guess("nobody", &address).await, Wrong);
    }
    assert_eq!(
        logins.log_in_correctly("2001:db8:1:2:ffff::").await,
        Throttled(1)
    );
    assert_eq!(logins.log_in_correctly("2001:db8:1:3::1").await, LoggedIn);
}

#[tokio::test]
async fn failures_elsewhere_do_not_throttle_a_known_address() {
    let logins = LoginFixture::new(3, 0).await;
    assert_eq!(logins.log_in_correctly(HOME).await, LoggedIn);
    logins.fail("engineer", ELSEWHERE, 12).await;
    assert_eq!(logins.guess("engineer", ELSEWHERE).await, Throttled(60));
    assert_eq!(logins.log_in_correctly(HOME).await, LoggedIn);
    // Failures from the known address itself count as usual.
    for _ in 0..4 {
        assert_eq!(logins.guess("engineer", HOME).await, Wrong);
    }
    assert_eq!(logins.log_in_correctly(HOME).await, Throttled(1));
    logins.advance(1);
    assert_eq!(logins.log_in_correctly(HOME).await, LoggedIn);
    for _ in 0..4 {
        assert_eq!(logins.guess("engineer", HOME).await, Wrong, "reset");
    }
}

#[tokio::test]
async fn expires_a_known_address_after_90_days() {
    const DAY: u64 = 24 * 60 * 60;
    let logins = LoginFixture::new(3, 0).await;
    assert_eq!(logins.log_in_correctly(HOME).await, LoggedIn);
    logins.advance(89 * DAY);
    assert_eq!(logins.log_in_correctly(HOME).await, LoggedIn);
    logins.advance(90 * DAY - 3);
    logins.fail("engineer", ELSEWHERE, 5).await;
    // The failures included a delay of one second.
    assert_eq!(logins.log_in_correctly(HOME).await, LoggedIn);
    logins.advance(90 * DAY);
    logins.fail("engineer", ELSEWHERE, 5).await;
    assert_eq!(logins.log_in_correctly(HOME).await, Throttled(2));
}

#[tokio::test]
async fn success_keeps_other_failures_of_the_address() {
    let logins = LoginFixture::new(3, 4).await;
    for number in 0..4 {
        assert_eq!(logins.guess(&format!("user {number}"), HOME).await, Wrong);
    }
    assert_eq!(logins.log_in_correctly(HOME).await, LoggedIn);
    assert_eq!(logins.guess("another", HOME).await, Wrong);
    assert_eq!(logins.guess("another", HOME).await, Throttled(1));
}

#[tokio::test]
async fn does_not_throttle_successful_logins() {
    let logins = LoginFixture::new(1, 1).await;
    let attempts = (0..50).map(|_| logins.log_in_correctly(HOME));
    assert!(
        join_all(attempts)
            .await
            .iter()
            .all(|outcome| *outcome == LoggedIn)
    );
}

#[tokio::test]
async fn throttles_concurrent_guesses_like_sequential_ones() {
    let logins = LoginFixture::new(3, 0).await;
    let outcomes = join_all((0..40).map(|_| logins.guess("engineer", HOME))).await;
    let tried = outcomes.iter().filter(|outcome| **outcome == Wrong).count();
    // Logins that have a hashing permit are not throttled anymore.
    let permits = std::thread::available_parallelism().unwrap().get() / 2;
    assert!((4..4 + permits.max(1)).contains(&tried), "{tried}");
}

#[tokio::test]
async fn audits_each_delay_once() {
    let logins = LoginFixture::new(1, 0).await;
    logins.guess("engineer", HOME).await;
    logins.guess("engineer", HOME).await;
    for _ in 0..10 {
        assert_eq!(logins.guess("engineer", HOME).await, Throttled(1));
    }
    logins.advance(1);
    logins.guess("engineer", HOME).await;
    for _ in 0..10 {
        assert_eq!(logins.guess("engineer", ELSEWHERE).await, Throttled(2));
    }
    let entry = |seconds| json!({ "username": "engineer", "by": "account", "retry_after_seconds": seconds });
    assert_eq!(logins.throttled().await, [entry(1), entry(2)]);
}

#[tokio::test]
async fn limit_of_zero_disables_throttling() {
    let logins = LoginFixture::new(0, 0).await;
    for _ in 0..40 {
        assert_eq!(logins.guess("engineer", HOME).await, Wrong);
    }
    assert_eq!(logins.log_in_correctly(HOME).await, LoggedIn);
}
