use std::{
    ops::{Range, RangeInclusive},
    str::FromStr,
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bcrypt::HashParts;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha384;

use super::new_password::NewPassword;
use crate::{
    error::{Result, ServiceError},
    keyed_permits::{KeyedPermit, KeyedPermits},
};

/// The maximum number of hashes that wait for a permit.
const MAX_WAITING: usize = 256;

/// The maximum wait for a permit.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The `Retry-After` of requests that got no permit.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The salt and hash of a dummy password, compared only for constant work.
const DUMMY: &str = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// The number of bytes of a password that bcrypt uses.
const BCRYPT_MAX_BYTES: usize = 72;

/// The HMAC key under which longer passwords are shortened.
const LABEL: &[u8] = b"sovd-command password of more than 72 bytes, version 1";

/// The costs that the settings allow. Higher costs would hold a hashing permit for minutes.
const COSTS: RangeInclusive<u32> = 4..=15;

/// Hashes and verifies passwords with bcrypt on blocking threads, limited by a number of permits.
pub struct Passwords {
    permits: Arc<KeyedPermits<()>>,
    cost: u32,
}

/// Permits one hash at a time until it is dropped.
pub(super) type HashingPermit = KeyedPermit<()>;

/// The result of comparing a password with a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PasswordMatch {
    /// The password is wrong, or there is no hash.
    Mismatch,
    /// The password is correct.
    Match,
    /// The password is correct, but the hash has a lower cost than configured.
    NeedsRehash,
}

impl Passwords {
    /// Hashes at `cost`, the base-2 logarithm of the number of rounds, 4 to 15. There is one permit for every
    /// two cores, at least one; the other cores serve requests.
    pub(super) fn new(cost: u32) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self::with_permits(cost, (cores / 2).max(1), MAX_WAITING)
    }

    fn with_permits(cost: u32, permits: usize, max_waiting: usize) -> Self {
        Self {
            permits: Arc::new(KeyedPermits::new(permits, max_waiting, TIMEOUT)),
            cost,
        }
    }

    /// Waits for a permit in the order of arrival. Returns [`ServiceError::RateLimited`] if too many wait
    /// already or the wait exceeds [`TIMEOUT`].
    pub(super) async fn permit(&self) -> Result<HashingPermit> {
        let permit = self.permits.acquire(()).await;
        permit.ok_or(ServiceError::RateLimited {
            retry_after: RETRY_AFTER,
        })
    }

    /// Hashes `password` at the configured cost, in the modular crypt format.
    pub async fn hash(&self, password: NewPassword) -> Result<String> {
        let permit = self.permit().await?;
        let (_, hash) = self.rehash(permit, password.into_secret()).await?;
        Ok(hash)
    }

    /// Hashes an existing password at the configured cost.
    pub(super) async fn rehash(
        &self,
        permit: HashingPermit,
        password: SecretString,
    ) -> Result<(HashingPermit, String)> {
        let cost = self.cost;
        let (permit, hash) = tokio::task::spawn_blocking(move || {
            let hash = bcrypt::hash(shortened(&password).expose_secret(), cost);
            (permit, hash)
        })
        .await
        .map_err(ServiceError::internal)?;
        Ok((permit, hash.map_err(ServiceError::internal)?))
    }

    /// Compares `password` with `hash`. A missing or unreadable hash is a mismatch after the same amount of
    /// work.
    pub(super) async fn verify(
        &self,
        permit: HashingPermit,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<(HashingPermit, PasswordMatch)> {
        let comparison = Comparison::new(hash, self.cost);
        let work = move || {
            let outcome = comparison.run(&shortened(&password), |password, hash| {
                // Fails only for unreadable hashes, which `Comparison::new` rejects.
                bcrypt::verify(password, hash).unwrap_or(false)
            });
            (permit, outcome)
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(ServiceError::internal)
    }
}

/// The input of bcrypt: the bytes of the password, or an HMAC of them if bcrypt would ignore some.
fn shortened(password: &SecretString) -> SecretSlice<u8> {
    let bytes = password.expose_secret().as_bytes();
    if bytes.len() <= BCRYPT_MAX_BYTES {
        return bytes.to_vec().into();
    }
    #[expect(clippy::expect_used, reason = "HMAC accepts keys of any length")]
    let mut mac = Hmac::<Sha384>::new_from_slice(LABEL).expect("HMAC accepts keys of any length");
    mac.update(bytes);
    let text = STANDARD.encode(mac.finalize().into_bytes());
    text.into_bytes().into()
}

/// A comparison with a stored or the dummy hash that always takes the same amount of work.
struct Comparison {
    stored: Option<String>,
    stored_cost: u32,
    cost: u32,
}

impl Comparison {
    fn new(hash: Option<String>, cost: u32) -> Self {
        let readable = hash.and_then(|hash| Some((cost_of(&hash)?, hash)));
        let (stored_cost, stored) = readable.map_or((cost, None), |(it, hash)| (it, Some(hash)));
        Self {
            stored,
            stored_cost,
            cost,
        }
    }

    fn run(
        &self,
        password: &SecretSlice<u8>,
        mut verify: impl FnMut(&[u8], &str) -> bool,
    ) -> PasswordMatch {
        let password = password.expose_secret();
        let matches = if let Some(hash) = &self.stored {
            verify(password, hash)
        } else {
            verify(password, &dummy_hash(self.cost));
            false
        };
        if matches {
            return if self.stored_cost < self.cost {
                PasswordMatch::NeedsRehash
            } else {
                PasswordMatch::Match
            };
        }
        for cost in self.missing_work() {
            verify(password, &dummy_hash(cost));
        }
        PasswordMatch::Mismatch
    }

    /// The costs that bring a comparison with a cheaper hash up to the configured work:
    /// 2^a + (2^a + 2^(a+1) + … + 2^(c-1)) = 2^c.
    fn missing_work(&self) -> Range<u32> {
        self.stored_cost..self.cost
    }
}

fn dummy_hash(cost: u32) -> String {
    format!("$2b${cost:02}${DUMMY}")
}

/// The cost of a readable hash, if it is an allowed one.
fn cost_of(hash: &str) -> Option<u32> {
    let cost = HashParts::from_str(hash).ok()?.get_cost();
    COSTS.contains(&cost).then_some(cost)
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::{
        PasswordMatch::{Match, Mismatch, NeedsRehash},
        *,
    };

    const COST: u32 = 6;

    async fn verify(password: &str, hash: Option<&str>) -> PasswordMatch {
        let passwords = Passwords::new(COST);
        let permit = passwords.permit().await.unwrap();
        let outcome = passwords.verify(permit, password.into(), hash.map(str::to_owned));
        outcome.await.unwrap().1
    }

    async fn hash(password: &str) -> String {
        let password = NewPassword::check(password.into(), "engineer").unwrap();
        Passwords::new(COST).hash(password).await.unwrap()
    }

    #[tokio::test]
    async fn matches_only_the_correct_password() {
        let hash = bcrypt::hash("right", COST).unwrap();
        let hash = Some(hash.as_str());
        for (password, hash, outcome) in [
            ("right", hash, Match),
            ("wrong", hash, Mismatch),
            ("", hash, Mismatch),
            ("right", None, Mismatch),
        ] {
            assert_eq!(verify(password, hash).await, outcome, "{password} {hash:?}");
        }
    }

    #[tokio::test]
    async fn unreadable_hash_is_a_mismatch() {
        let expensive = bcrypt::hash("right", 4)
            .unwrap()
            .replacen("$04$", "$16$", 1);
        let cheap = expensive.replacen("$16$", "$03$", 1);
        for hash in ["", "right", "$2b$", &"ü".repeat(30), &expensive, &cheap] {
            assert_eq!(verify("right", Some(hash)).await, Mismatch, "{hash}");
        }
    }

    #[tokio::test]
    async fn reports_hashes_below_the_configured_cost() {
        for (cost, outcome) in [(COST - 1, NeedsRehash), (COST, Match), (COST + 1, Match)] {
            let hash = bcrypt::hash("right", cost).unwrap();
            assert_eq!(verify("right", Some(&hash)).await, outcome, "{cost}");
        }
    }

    #[tokio::test]
    async fn hashes_at_the_configured_cost() {
        let hash = hash("correct horse battery").await;
        assert_eq!(cost_of(&hash), Some(COST));
        let outcome = verify("correct horse battery", Some(&hash)).await;
        assert_eq!(outcome, Match);
    }

    #[tokio::test]
    async fn compares_every_character_of_the_longest_password() {
        let long = "ü🚗".repeat(64);
        let hash = hash(&long).await;
        assert_eq!(verify(&long, Some(&hash)).await, Match);
        let other_end = long.strip_suffix('🚗').unwrap().to_owned() + "🚙";
        assert_eq!(verify(&other_end, Some(&hash)).await, Mismatch);
    }

    #[tokio::test]
    async fn passes_up_to_72_bytes_to_bcrypt_unchanged() {
        let (whole, longer) = ("a".repeat(72), "a".repeat(73));
        let hash_of_whole = bcrypt::hash(&whole, COST).unwrap();
        assert_eq!(verify(&whole, Some(&hash_of_whole)).await, Match);
        assert_eq!(verify(&longer, Some(&hash_of_whole)).await, Mismatch);
        let hash_of_longer = hash(&longer).await;
        assert_eq!(verify(&longer, Some(&hash_of_longer)).await, Match);
        assert_eq!(verify(&whole, Some(&hash_of_longer)).await, Mismatch);
    }

    /// The number of bcrypt rounds of a comparison with a wrong password.
    fn work(hash: Option<&str>) -> u64 {
        let mut rounds = 0;
        let outcome = Comparison::new(hash.map(str::to_owned), COST).run(
            &b"wrong".to_vec().into(),
            |password, hash| {
                rounds += 1 << cost_of(hash).unwrap();
                bcrypt::verify(password, hash).unwrap()
            },
        );
        assert_eq!(outcome, Mismatch);
        rounds
    }

    #[test]
    fn wrong_password_takes_as_much_work_as_an_unknown_user() {
        let unknown = work(None);
        assert_eq!(unknown, 1 << COST);
        for cost in 4..=COST {
            let stored = bcrypt::hash("right", cost).unwrap();
            assert_eq!(work(Some(&stored)), unknown, "{cost}");
        }
        assert_eq!(work(Some("not a hash")), unknown);
    }

    fn is_rejected(outcome: &Result<HashingPermit>) -> bool {
        matches!(outcome, Err(ServiceError::RateLimited { retry_after }) if *retry_after == RETRY_AFTER)
    }

    #[tokio::test]
    async fn rejects_requests_beyond_the_queue_limit() {
        let passwords = Passwords::with_permits(COST, 1, 3);
        let permit = passwords.permit().await.unwrap();
        let mut waiting = join_all((0..3).map(|_| passwords.permit())).boxed();
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(is_rejected(&passwords.permit().await));
        drop(waiting);
        drop(permit);
        assert!(passwords.permit().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_after_the_timeout() {
        let passwords = Passwords::with_permits(COST, 1, 3);
        let _permit = passwords.permit().await.unwrap();
        let start = tokio::time::Instant::now();
        assert!(is_rejected(&passwords.permit().await));
        assert_eq!(start.elapsed(), TIMEOUT);
    }
}
