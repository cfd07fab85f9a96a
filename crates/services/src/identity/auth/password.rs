use std::{
    ops::{Range, RangeInclusive},
    str::FromStr,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bcrypt::HashParts;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha384;

use super::new_password::NewPassword;
use crate::error::ServiceError;
use crate::identity::auth::hashing_permits::{HashingPermits, Place};

/// Salt and hash of nobody's password; only the work of comparing with it counts.
const NOBODY: &str = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// What bcrypt reads of a password, in bytes.
const READ_BY_BCRYPT: usize = 72;

/// Says that what bcrypt hashes stands for a longer password.
const LABEL: &[u8] = b"sovd-command password of more than 72 bytes, version 1";

/// The costs that the settings allow. A dearer hash would hold a place for minutes.
const COSTS: RangeInclusive<u32> = 4..=15;

/// Checks passwords against bcrypt hashes and makes such hashes, off the threads that serve
/// requests and a few at a time.
pub struct Passwords {
    places: HashingPermits,
    cost: u32,
}

/// What came of comparing a password with a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is another one, or nobody's.
    Wrong,
    /// It is the one behind the hash.
    Right,
    /// It is the one behind the hash, which is cheaper than hashes are made now.
    RightButCheap,
}

impl Passwords {
    /// Hashes at `cost`, the logarithm to base 2 of the number of rounds, 4 to 15.
    pub(super) fn new(cost: u32) -> Self {
        Self {
            places: HashingPermits::for_this_machine(),
            cost,
        }
    }

    /// Waits until this caller may hash.
    ///
    /// # Errors
    ///
    /// [`ServiceError::RateLimited`] when too many wait already or it takes too long.
    pub(super) async fn place(&self) -> Result<Place, ServiceError> {
        self.places.take().await
    }

    /// A hash of `password` (bcrypt, in the modular crypt format) at the configured cost.
    ///
    /// # Errors
    ///
    /// [`ServiceError::RateLimited`] when too many passwords are hashed already.
    pub async fn hash(&self, password: NewPassword) -> Result<String, ServiceError> {
        let place = self.place().await?;
        let (_, hash) = self.hash_again(place, password.into_secret()).await?;
        Ok(hash)
    }

    /// A hash at the configured cost of a password that is one already.
    pub(super) async fn hash_again(
        &self,
        place: Place,
        password: SecretString,
    ) -> Result<(Place, String), ServiceError> {
        let cost = self.cost;
        let (place, hash) = tokio::task::spawn_blocking(move || {
            let hash = bcrypt::hash(reduced(&password).expose_secret(), cost);
            (place, hash)
        })
        .await
        .map_err(ServiceError::internal)?;
        Ok((place, hash.map_err(ServiceError::internal)?))
    }

    /// Compares `password` with `hash`. Without a hash, or with one that nobody can read, the
    /// password is wrong after the same work.
    pub(super) async fn verify(
        &self,
        place: Place,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<(Place, Verdict), ServiceError> {
        let task = Comparison::new(hash, self.cost);
        let work = move || {
            let verdict = task.run(&reduced(&password), |password, hash| {
                // Fails with a hash that cannot be read, and those were sorted out.
                bcrypt::verify(password, hash).unwrap_or(false)
            });
            (place, verdict)
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(ServiceError::internal)
    }
}

/// What bcrypt gets: the bytes of the password, or 64 characters that stand for it when bcrypt
/// would not read all of them.
fn reduced(password: &SecretString) -> SecretSlice<u8> {
    let bytes = password.expose_secret().as_bytes();
    if bytes.len() <= READ_BY_BCRYPT {
        return bytes.to_vec().into();
    }
    #[expect(
        clippy::expect_used,
        reason = "the label is no input, and any length will do"
    )]
    let mut mac = Hmac::<Sha384>::new_from_slice(LABEL).expect("HMAC takes a key of any length");
    mac.update(bytes);
    let text = STANDARD.encode(mac.finalize().into_bytes());
    text.into_bytes().into()
}

/// One stored hash, or the one of nobody, and the work that makes all comparisons take equally
/// long.
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
    ) -> Verdict {
        let password = password.expose_secret();
        let matches = if let Some(hash) = &self.stored {
            verify(password, hash)
        } else {
            verify(password, &nobody(self.cost));
            false
        };
        if matches {
            return if self.stored_cost < self.cost {
                Verdict::RightButCheap
            } else {
                Verdict::Right
            };
        }
        for cost in self.missing_work() {
            verify(password, &nobody(cost));
        }
        Verdict::Wrong
    }

    /// What brings a cheap comparison up to the work of a configured one:
    /// 2^a + (2^a + 2^(a+1) + … + 2^(c-1)) = 2^c.
    fn missing_work(&self) -> Range<u32> {
        self.stored_cost..self.cost
    }
}

fn nobody(cost: u32) -> String {
    format!("$2b${cost:02}${NOBODY}")
}

/// The cost of a hash that can be read and was made here.
fn cost_of(hash: &str) -> Option<u32> {
    let cost = HashParts::from_str(hash).ok()?.get_cost();
    COSTS.contains(&cost).then_some(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: u32 = 6;

    async fn verify(password: &str, hash: Option<&str>) -> Verdict {
        let passwords = Passwords::new(COST);
        let place = passwords.place().await.unwrap();
        let verified = passwords.verify(place, password.into(), hash.map(str::to_owned));
        verified.await.unwrap().1
    }

    async fn hash(password: &str) -> String {
        let password = NewPassword::check(password.into(), "engineer").unwrap();
        Passwords::new(COST).hash(password).await.unwrap()
    }

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let hash = bcrypt::hash("right", COST).unwrap();
        assert_eq!(verify("right", Some(&hash)).await, Verdict::Right);
        assert_eq!(verify("wrong", Some(&hash)).await, Verdict::Wrong);
        assert_eq!(verify("", Some(&hash)).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        assert_eq!(verify("right", None).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_that_cannot_be_read_is_nobodys() {
        let dear = bcrypt::hash("right", 4)
            .unwrap()
            .replacen("$04$", "$16$", 1);
        let cheap = dear.replacen("$16$", "$03$", 1);
        for hash in ["", "right", "$2b$", &"ü".repeat(30), &dear, &cheap] {
            assert_eq!(verify("right", Some(hash)).await, Verdict::Wrong, "{hash}");
        }
    }

    #[tokio::test]
    async fn a_cheaper_hash_is_told() {
        for (cost, verdict) in [
            (COST - 1, Verdict::RightButCheap),
            (COST, Verdict::Right),
            (COST + 1, Verdict::Right),
        ] {
            let hash = bcrypt::hash("right", cost).unwrap();
            assert_eq!(verify("right", Some(&hash)).await, verdict, "{cost}");
        }
    }

    #[tokio::test]
    async fn a_hash_is_made_at_the_configured_cost() {
        let hash = hash("correct horse battery").await;
        assert_eq!(cost_of(&hash), Some(COST));
        let verdict = verify("correct horse battery", Some(&hash)).await;
        assert_eq!(verdict, Verdict::Right);
    }

    #[tokio::test]
    async fn every_character_of_the_longest_password_counts() {
        let long = "ü🚗".repeat(64);
        let hash = hash(&long).await;
        assert_eq!(verify(&long, Some(&hash)).await, Verdict::Right);
        let other_end = long.strip_suffix('🚗').unwrap().to_owned() + "🚙";
        assert_eq!(verify(&other_end, Some(&hash)).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn what_bcrypt_reads_goes_in_as_it_is() {
        let (whole, longer) = ("a".repeat(72), "a".repeat(73));
        let hash_of_whole = bcrypt::hash(&whole, COST).unwrap();
        assert_eq!(verify(&whole, Some(&hash_of_whole)).await, Verdict::Right);
        assert_eq!(verify(&longer, Some(&hash_of_whole)).await, Verdict::Wrong);
        let hash_of_longer = hash(&longer).await;
        assert_eq!(verify(&longer, Some(&hash_of_longer)).await, Verdict::Right);
        assert_eq!(verify(&whole, Some(&hash_of_longer)).await, Verdict::Wrong);
    }

    /// The rounds of bcrypt that a comparison takes, when the password is wrong.
    fn work(hash: Option<&str>) -> u64 {
        let mut rounds = 0;
        let verdict = Comparison::new(hash.map(str::to_owned), COST).run(
            &b"wrong".to_vec().into(),
            |password, hash| {
                rounds += 1 << cost_of(hash).unwrap();
                bcrypt::verify(password, hash).unwrap()
            },
        );
        assert_eq!(verdict, Verdict::Wrong);
        rounds
    }

    #[test]
    fn a_wrong_password_takes_the_work_of_an_unknown_user() {
        let unknown = work(None);
        assert_eq!(unknown, 1 << COST);
        for cost in 4..=COST {
            let stored = bcrypt::hash("right", cost).unwrap();
            assert_eq!(work(Some(&stored)), unknown, "{cost}");
        }
        assert_eq!(work(Some("not a hash")), unknown);
    }
}
