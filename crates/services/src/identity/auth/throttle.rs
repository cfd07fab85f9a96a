use std::{net::IpAddr, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sovd_events::{BackoffPolicy, FailureCounters};

use super::username_digest::UsernameDigest;
use crate::{error::ServiceError, network::network};

/// How long an address stays known to an account that was logged in to, or refreshed, from it. Longer
/// than a session lasts.
const KNOWN_FOR: TimeDelta = TimeDelta::days(90);

/// Makes whoever guesses passwords slow, on all processes together.
pub(super) struct Throttle {
    attempts: Arc<dyn FailureCounters>,
    account: Option<BackoffPolicy>,
    address: Option<BackoffPolicy>,
}

/// How many failed logins are free; 0 is as many as anybody likes.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleSettings {
    /// For one account, before each further one is held up.
    pub account_attempts: u32,
    /// From one address, before each further one is held up.
    pub address_attempts: u32,
}

/// Under which names the failures of one login are counted.
pub(super) struct Guess {
    account: String,
    address: String,
    pair: String,
    known: String,
}

/// A login that may be tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admitted {
    /// Whether the account was logged in to from this address before.
    is_known: bool,
}

/// A login that has to wait.
#[derive(Debug)]
pub(super) struct TooSoon {
    /// Whose failures it waits for: `account` or `address`.
    pub(super) by: &'static str,
    /// How long it has to wait, in whole seconds.
    pub(super) retry_after: Duration,
    /// Whether it is the first one that is refused in this wait.
    pub(super) is_first: bool,
}

impl From<TooSoon> for ServiceError {
    fn from(TooSoon { retry_after, .. }: TooSoon) -> Self {
        Self::RateLimited { retry_after }
    }
}

impl Guess {
    /// A login as `username`, as it was typed and whether or not there is such a user, from an
    /// address. Without one it counts for all that have none. The names contain only a digest of
    /// `username`, because it may be a password.
    pub(super) fn new(
        username_digest: &UsernameDigest,
        username: &str,
        address: Option<IpAddr>,
    ) -> Self {
        let account = username_digest.of(username);
        let address = network(address);
        Self {
            pair: format!("login:pair:{account}:{address}"),
            known: format!("login:known:{account}:{address}"),
            account: format!("login:account:{account}"),
            address: format!("login:address:{address}"),
        }
    }
}

impl Throttle {
    pub(super) fn new(attempts: Arc<dyn FailureCounters>, settings: ThrottleSettings) -> Self {
        let pace = |free, longest, memory| {
            (free > 0).then_some(BackoffPolicy {
                free,
                first: Duration::from_secs(1),
                longest,
                memory,
            })
        };
        let minutes = Duration::from_mins;
        Self {
            attempts,
            account: pace(settings.account_attempts, minutes(1), minutes(15)),
            address: pace(settings.address_attempts, minutes(15), minutes(60)),
        }
    }

    /// Whether the login may be tried now. One that may not does not count.
    pub(super) async fn check(
        &self,
        guess: &Guess,
        now: DateTime<Utc>,
    ) -> Result<Admitted, TooSoon> {
        if self.account.is_none() && self.address.is_none() {
            return Ok(Admitted { is_known: false });
        }
        let names = [&guess.known, &guess.pair, &guess.account, &guess.address];
        let held = self
            .attempts
            .blocked_until(&names.map(String::as_str), now)
            .await;
        let until = |name: &str| {
            let mut held = names.iter().zip(&held);
            held.find_map(|(it, until)| (*it == name).then_some(*until)?)
        };
        let is_known = until(&guess.known).is_some();
        let counters = self.counters(is_known, guess);
        let waits = counters
            .iter()
            .filter_map(|counter| Some((until(counter.name)?, counter)));
        let Some((until, counter)) = waits.max_by_key(|(until, _)| *until) else {
            return Ok(Admitted { is_known });
        };
        let noted = format!("{}:noted", counter.name);
        Err(TooSoon {
            by: counter.by,
            retry_after: whole_seconds(until - now),
            is_first: self.attempts.block(&noted, until, now).await,
        })
    }

    /// Counts a login that failed.
    pub(super) async fn count_failure(
        &self,
        guess: &Guess,
        Admitted { is_known }: Admitted,
        now: DateTime<Utc>,
    ) {
        let counters = self.counters(is_known, guess);
        let failures: Vec<(&str, BackoffPolicy)> = counters
            .iter()
            .map(|counter| (counter.name, counter.pace))
            .collect();
        if !failures.is_empty() {
            self.attempts.record_failures(&failures, now).await;
        }
    }

    /// Makes the address known to the account, and forgets what the two had failed at together.
    /// What else came from the address stays counted, or one account of one's own would be enough
    /// to guess the passwords of others.
    pub(super) async fn count_success(&self, guess: &Guess, now: DateTime<Utc>) {
        self.know(guess, now).await;
        if self.account.is_some() {
            self.attempts.reset(&guess.pair).await;
        }
    }

    /// Makes the address known to the account.
    pub(super) async fn know(&self, guess: &Guess, now: DateTime<Utc>) {
        if self.account.is_some() {
            self.attempts
                .block(&guess.known, now + KNOWN_FOR, now)
                .await;
        }
    }

    /// What judges a login. Where the account is known, strangers' failures do not count, or they
    /// could keep its owner out.
    fn counters<'a>(&self, is_known: bool, guess: &'a Guess) -> Vec<Counter<'a>> {
        let name = if is_known {
            &guess.pair
        } else {
            &guess.account
        };
        let account = self.account.map(|pace| Counter {
            by: "account",
            name,
            pace,
        });
        let address = self.address.map(|pace| Counter {
            by: "address",
            name: &guess.address,
            pace,
        });
        account.into_iter().chain(address).collect()
    }
}

/// What counts failures.
struct Counter<'a> {
    by: &'static str,
    name: &'a str,
    pace: BackoffPolicy,
}

/// Rounded up, and not 0.
fn whole_seconds(span: TimeDelta) -> Duration {
    let span = span.to_std().unwrap_or_default();
    let up = u64::from(span.subsec_nanos() > 0);
    Duration::from_secs((span.as_secs() + up).max(1))
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn counter_names_contain_neither_the_user_name_nor_its_plain_hash() {
        let username_digest = UsernameDigest::derived_from("key").unwrap();
        let address = Some("192.0.2.1".parse().unwrap());
        let guess = Guess::new(&username_digest, "engineer", address);
        let plain_hash = URL_SAFE_NO_PAD.encode(Sha256::digest("engineer"));
        for name in [&guess.account, &guess.address, &guess.pair, &guess.known] {
            assert!(!name.contains("engineer"), "{name}");
            assert!(!name.contains(&plain_hash), "{name}");
        }
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            let rounded = whole_seconds(TimeDelta::milliseconds(millis));
            assert_eq!(rounded, Duration::from_secs(seconds), "{millis}");
        }
    }
}
