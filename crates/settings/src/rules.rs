//! Rules about several settings, and the stricter rules of production.

use url::Url;

use crate::loader::{Loader, origin};
use crate::postgres_url::{ConnectionUri, is_loopback};
use crate::secret_url::single_host;
use crate::weak_secret::is_weak;
use crate::{DeploymentEnvironment, JwtAlgorithm};

/// Checks the rules about the keys to load. Without an environment its file was not read, so any
/// key may be missing.
pub(crate) fn check(loader: &mut Loader, environment: Option<DeploymentEnvironment>) {
    if environment.is_some() {
        check_required(loader);
    }
    check_orders(loader);
    check_redis_files(loader);
    if environment == Some(DeploymentEnvironment::Production) {
        check_production(loader);
    }
}

fn check_required(loader: &mut Loader) {
    let algorithm = loader.text("auth.jwt_algorithm");
    let algorithm = algorithm.and_then(|name| name.parse::<JwtAlgorithm>().ok());
    let signing_key = algorithm.map(|algorithm| algorithm.key_paths().0);
    for key in loader.keys {
        let path = key.path;
        let is_required = path == "database.url" || Some(path) == signing_key;
        if is_required && loader.get(path).is_none() && !loader.explains_absence_of(key) {
            let variable = key.variables().next().unwrap_or_default();
            loader.problems.push(format!(
                "{path} is not set: set {variable}, or {variable}_FILE to a file that holds it"
            ));
        }
    }
}

fn check_orders(loader: &mut Loader) {
    let mock = ["connector.mock.min_delay_ms", "connector.mock.max_delay_ms"];
    let retries = ["dispatch.first_retry_ms", "dispatch.longest_retry_ms"];
    let pings = ["streams.ping_seconds", "streams.idle_seconds"];
    for ([lower, upper], distance, relation) in [
        (mock, 0, "at most"),
        (retries, 0, "at most"),
        // Clients respond to pings. A shorter timeout would close every quiet stream.
        (pings, 1, "less than"),
    ] {
        if let (Some(number), Some(limit)) = (loader.number(lower), loader.number(upper))
            && number + distance > limit
        {
            let origin = loader.get(upper).map(origin).unwrap_or_default();
            let expected = format!("{relation} {upper} = {limit} (from {origin})");
            loader.reject_by_rule(lower, &expected);
        }
    }
}

/// Rejects certificates that would be ignored: without TLS, or one half of a pair.
fn check_redis_files(loader: &mut Loader) {
    let [ca, cert, key] = ["redis.ca_path", "redis.cert_path", "redis.key_path"];
    let url = loader.text("redis.url");
    if url.is_some_and(|url| !url.starts_with("rediss:")) {
        for path in [ca, cert, key] {
            loader.reject_by_rule(path, "no file unless redis.url begins with rediss://");
        }
    }
    for (given, missing) in [(cert, key), (key, cert)] {
        if loader.get(missing).is_none() {
            let expected = format!("{missing} to be set together with {given}");
            loader.reject_by_rule(given, &expected);
        }
    }
}

/// Returns what is expected of a text, unless it is accepted.
type Rule = fn(&str) -> Option<&'static str>;

fn check_production(loader: &mut Loader) {
    let mut rules: Vec<(&str, Rule)> = vec![
        ("auth.jwt_secret", check_secret),
        ("auth.jwt_previous_secret", check_secret),
        ("database.url", check_password),
        ("redis.url", check_password),
    ];
    if !loader.is_on("redis.allow_plaintext") {
        rules.push(("redis.url", check_redis_plaintext));
    }
    if !loader.is_on("database.allow_plaintext") {
        rules.push(("database.url", check_database_plaintext));
    }
    for (path, rule) in rules {
        if let Some(expected) = loader.text(path).as_deref().and_then(rule) {
            loader.reject_by_rule(path, expected);
        }
    }
    let origins = loader.get("server.cors_origins").cloned();
    let origins = origins.and_then(|value| value.into_array().ok());
    if origins.is_some_and(|origins| origins.iter().any(|origin| origin.kind == "*".into())) {
        let expected = "the origins by name in production, not *";
        loader.reject_by_rule("server.cors_origins", expected);
    }
    let cost = loader.number("auth.bcrypt_cost");
    if cost.is_some_and(|cost| cost < 10) {
        let expected = "a whole number from 10 to 15 in production";
        loader.reject_by_rule("auth.bcrypt_cost", expected);
    }
}

fn check_secret(secret: &str) -> Option<&'static str> {
    if secret.len() < 32 {
        Some("at least 32 bytes in production")
    } else if is_weak(secret) {
        Some("a random secret in production, not a sample or a repetition")
    } else {
        None
    }
}

fn check_password(url: &str) -> Option<&'static str> {
    const SAMPLE: &str = "change-me";
    let single = single_host(url).map(|(single, _)| single);
    let url = Url::parse(single.as_deref().unwrap_or(url)).ok()?;
    let mut parameters = url.query_pairs();
    let is_sample = url.password() == Some(SAMPLE)
        || parameters.any(|(name, value)| name == "password" && value == SAMPLE);
    is_sample.then_some("a password other than the sample")
}

fn check_redis_plaintext(url: &str) -> Option<&'static str> {
    let url = Url::parse(url).ok()?;
    let is_plaintext = url.scheme() == "redis" && !is_loopback(url.host_str()?);
    is_plaintext.then_some(
        "rediss:// in production, or redis.allow_plaintext = true \
         (SOVD__REDIS__ALLOW_PLAINTEXT=true) to connect to another machine without encryption",
    )
}

fn check_database_plaintext(url: &str) -> Option<&'static str> {
    let uri = ConnectionUri::parse(url)?;
    uri.may_be_plaintext().then_some(
        "sslmode=verify-full with sslrootcert in production (require and verify-ca also encrypt), \
         as the host is another machine; database.allow_plaintext = true allows plaintext",
    )
}
