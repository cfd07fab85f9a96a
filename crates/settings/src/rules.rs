//! Rules about several settings, and the stricter rules of production.

use config::ValueKind;
use url::Url;

use crate::effective_values::{EffectiveValues, origin};
use crate::error::InvalidSetting;
use crate::postgres_url::{self, ConnectionUri};
use crate::weak_secret::is_weak;
use crate::{DeploymentEnvironment, JwtAlgorithm};

/// Checks the rules about the keys of `values`. Without an environment its file was not read, so
/// any key may be missing.
pub(crate) fn check(
    values: &EffectiveValues,
    environment: Option<DeploymentEnvironment>,
    problems: &mut Vec<InvalidSetting>,
) {
    if environment.is_some() {
        check_required(values, problems);
    }
    check_orders(values, problems);
    check_redis_files(values, problems);
    if environment == Some(DeploymentEnvironment::Production) {
        check_production(values, problems);
    }
}

fn check_required(values: &EffectiveValues, problems: &mut Vec<InvalidSetting>) {
    let algorithm = values.text("auth.jwt_algorithm");
    let algorithm = algorithm.and_then(|name| name.parse::<JwtAlgorithm>().ok());
    let signing_key = algorithm.map(JwtAlgorithm::signing_key_path);
    for path in ["database.url"].into_iter().chain(signing_key) {
        let Some(key) = values.key(path) else {
            continue;
        };
        let is_explained = problems.iter().any(|it| it.explains_absence_of(key));
        if values.get(path).is_none() && !is_explained {
            let variable = key.customary.map_or_else(|| key.variable(), str::to_owned);
            problems.push(InvalidSetting::new(format!(
                "{path} is not set: set {variable}, or {variable}_FILE to a file that holds it"
            )));
        }
    }
}

fn check_orders(values: &EffectiveValues, problems: &mut Vec<InvalidSetting>) {
    for (section, lower, upper, distance) in [
        ("connector.mock", "min_delay_ms", "max_delay_ms", 0),
        ("dispatch", "first_retry_ms", "longest_retry_ms", 0),
        // Clients respond to pings. A shorter timeout would close every quiet stream.
        ("streams", "ping_seconds", "idle_seconds", 1),
    ] {
        let (lower, upper) = (format!("{section}.{lower}"), format!("{section}.{upper}"));
        if let (Some(number), Some(limit)) = (values.number(&lower), values.number(&upper))
            && number + distance > limit
        {
            let relation = if distance == 0 {
                "at most"
            } else {
                "less than"
            };
            let origin = values.get(&upper).map(origin).unwrap_or_default();
            let expected = format!("{relation} {upper} = {limit} (from {origin})");
            problems.extend(values.reject(&lower, &expected));
        }
    }
}

/// Rejects certificates that would be ignored: without TLS, or one half of a pair.
fn check_redis_files(values: &EffectiveValues, problems: &mut Vec<InvalidSetting>) {
    let [ca, cert, key] = ["redis.ca_path", "redis.cert_path", "redis.key_path"];
    let url = values.text("redis.url");
    if url.is_some_and(|url| !url.starts_with("rediss:")) {
        for path in [ca, cert, key] {
            problems.extend(values.reject(path, "no file unless redis.url begins with rediss://"));
        }
    }
    for (given, missing) in [(cert, key), (key, cert)] {
        if values.get(missing).is_none() {
            let expected = format!("{missing} to be set together with {given}");
            problems.extend(values.reject(given, &expected));
        }
    }
}

fn check_production(values: &EffectiveValues, problems: &mut Vec<InvalidSetting>) {
    let mut apply = |path, rule: fn(&str) -> Option<&'static str>| {
        let expected = values.text(path).and_then(rule);
        problems.extend(expected.and_then(|expected| values.reject(path, expected)));
    };
    apply("auth.jwt_secret", check_secret);
    apply("auth.jwt_previous_secret", check_secret);
    apply("database.url", check_password);
    apply("redis.url", check_password);
    if !values.is_on("redis.allow_plaintext") {
        apply("redis.url", check_redis_plaintext);
    }
    if !values.is_on("database.allow_plaintext") {
        apply("database.url", check_database_plaintext);
    }
    let origins = values.get("server.cors_origins").map(|value| &value.kind);
    if matches!(origins, Some(ValueKind::Array(list)) if list.iter().any(|it| it.kind == "*".into()))
    {
        let expected = "the origins by name in production, not *";
        problems.extend(values.reject("server.cors_origins", expected));
    }
    if values
        .number("auth.bcrypt_cost")
        .is_some_and(|cost| cost < 10)
    {
        let expected = "a whole number from 10 to 15 in production";
        problems.extend(values.reject("auth.bcrypt_cost", expected));
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
    let password = if let Some(uri) = ConnectionUri::parse(url) {
        uri.password()?
    } else {
        let url = Url::parse(url).ok()?;
        let in_query = url.query_pairs().find(|(name, _)| name == "password");
        let in_authority = url.password().map(str::to_owned);
        in_authority.or_else(|| in_query.map(|(_, value)| value.into_owned()))?
    };
    (password == "change-me").then_some("another password than the sample")
}

fn check_redis_plaintext(url: &str) -> Option<&'static str> {
    let url = Url::parse(url).ok()?;
    let is_plaintext = url.scheme() == "redis" && !postgres_url::is_loopback(url.host_str()?);
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
