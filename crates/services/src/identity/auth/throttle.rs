use std::{net::IpAddr, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sovd_events::{BackoffPolicy, FailureCounters};

use super::username_digest::UsernameDigest;
use crate::network::network;

/// How long an address stays known to an account after a login or refresh. Longer than any session.
const KNOWN_ADDRESS_TTL: TimeDelta = TimeDelta::days(90);

/// Slows down password guessing with failure counters that all processes share.
pub(super) struct Throttle {
    failures: Arc<dyn FailureCounters>,
    account: Option<BackoffPolicy>,
    address: Option<BackoffPolicy>,
}

/// The number of failed logins without a delay; 0 disables the limit.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleSettings {
    /// For one account.
    pub account_attempts: u32,
    /// From one address.
    pub address_attempts: u32,
}

/// The names of the failure counters of a login.
pub(super) struct LoginCounters {
    account: String,
    address: String,
    pair: String,
    known: String,
}

/// A login that may be attempted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admitted {
    /// Whether the account was used from this address before.
    is_known: bool,
}

/// A login that must wait.
#[derive(Debug)]
pub(super) struct Throttled {
    /// The limit that applies: `account` or `address`.
    pub(super) by: &'static str,
    /// The remaining delay, in whole seconds.
    pub(super) retry_after: Duration,
    /// Whether this is the first refusal during this delay.
    pub(super) is_first: bool,
}

impl LoginCounters {
    /// Returns the counters of a login as `username`, which need not exist, from an address. Logins of
    /// unknown address share their counters. The names contain only a digest of `username`, because users
    /// type passwords there.
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
    pub(super) fn new(failures: Arc<dyn FailureCounters>, settings: ThrottleSettings) -> Self {
        let policy = |free, longest, memory| {
            (free > 0).then_some(BackoffPolicy {
                free,
                first: Duration::from_secs(1),
                longest,
                memory,
            })
        };
        let minutes = Duration::from_mins;
        Self {
            failures,
            account: policy(settings.account_attempts, minutes(1), minutes(15)),
            address: policy(settings.address_attempts, minutes(15), minutes(60)),
        }
    }

    /// Returns whether the login may be attempted now. Throttled logins are not counted as failures.
    pub(super) async fn check(
        &self,
        login: &LoginCounters,
        now: DateTime<Utc>,
    ) -> Result<Admitted, Throttled> {
        if self.account.is_none() && self.address.is_none() {
            return Ok(Admitted { is_known: false });
        }
        let names = [&login.known, &login.pair, &login.account, &login.address];
        let held = self
            .failures
            .blocked_until(&names.map(String::as_str), now)
            .await;
        let until = |name: &str| {
            let mut held = names.iter().zip(&held);
            held.find_map(|(it, until)| (*it == name).then_some(*until)?)
        };
        let is_known = until(&login.known).is_some();
        let counters = self.counters(is_known, login);
        let waits = counters
            .iter()
            .filter_map(|counter| Some((until(counter.name)?, counter)));
        let Some((until, counter)) = waits.max_by_key(|(until, _)| *until) else {
            return Ok(Admitted { is_known });
        };
        let noted = format!("{}:noted", counter.name);
        Err(Throttled {
            by: counter.by,
            retry_after: whole_seconds(until - now),
            is_first: self.failures.block(&noted, until, now).await,
        })
    }

    pub(super) async fn count_failure(
        &self,
        login: &LoginCounters,
        Admitted { is_known }: Admitted,
        now: DateTime<Utc>,
    ) {
        let counters = self.counters(is_known, login);
        let failures: Vec<(&str, BackoffPolicy)> = counters
            .iter()
            .map(|counter| (counter.name, counter.policy))
            .collect();
        if !failures.is_empty() {
            self.failures.record_failures(&failures, now).await;
        }
    }

    /// Makes the address known to the account and resets the failures of this pair. Other failures from the
    /// address stay counted; otherwise an attacker could reset them with an account of their own.
    pub(super) async fn count_success(&self, login: &LoginCounters, now: DateTime<Utc>) {
        self.record_known_address(login, now).await;
        if self.account.is_some() {
            self.failures.reset(&login.pair).await;
        }
    }

    /// Makes the address known to the account.
    pub(super) async fn record_known_address(&self, login: &LoginCounters, now: DateTime<Utc>) {
        if self.account.is_some() {
            self.failures
                .block(&login.known, now + KNOWN_ADDRESS_TTL, now)
                .await;
        }
    }

    /// Returns the counters that apply. From a known address, failures of other addresses do not count, so
    /// attackers cannot lock the user out.
    fn counters<'a>(&self, is_known: bool, login: &'a LoginCounters) -> Vec<Counter<'a>> {
        let name = if is_known {
            &login.pair
        } else {
            &login.account
        };
        let account = self.account.map(|policy| Counter {
            by: "account",
            name,
            policy,
        });
        let address = self.address.map(|policy| Counter {
            by: "address",
            name: &login.address,
            policy,
        });
        account.into_iter().chain(address).collect()
    }
}

struct Counter<'a> {
    by: &'static str,
    name: &'a str,
    policy: BackoffPolicy,
}

/// Rounds up to at least one second.
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
    fn counter_names_do_not_reveal_the_user_name() {
        let username_digest = UsernameDigest::derived_from("key").unwrap();
        let address = Some("192.0.2.1".parse().unwrap());
        let login = LoginCounters::new(&username_digest, "engineer", address);
        let plain_hash = URL_SAFE_NO_PAD.encode(Sha256::digest("engineer"));
        for name in [&login.account, &login.address, &login.pair, &login.known] {
            assert!(!name.contains("engineer"), "{name}");
            assert!(!name.contains(&plain_hash), "{name}");
        }
    }

    #[test]
    fn rounds_seconds_up() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            let rounded = whole_seconds(TimeDelta::milliseconds(millis));
            assert_eq!(rounded, Duration::from_secs(seconds), "{millis}");
        }
    }
}
