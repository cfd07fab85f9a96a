use config::ValueKind;
use url::Url;

use crate::address::is_loopback;
use crate::effective::{Effective, Entry};
use crate::error::Problem;
use crate::key::Key;
use crate::postgres_url::PostgresUrl;
use crate::sample::is_sample;
use crate::{Environment, JwtAlgorithm};

/// What a single value cannot tell: keys that are absent, pairs that contradict each other, and
/// what production refuses although it is well formed.
pub(crate) fn check(
    effective: &Effective,
    environment: Option<Environment>,
    problems: &mut Vec<Problem>,
) {
    // Without an environment its file is missing too, and what is absent may be there.
    if environment.is_some() {
        check_required(effective, problems);
    }
    check_orders(effective, problems);
    check_redis_files(effective, problems);
    if environment == Some(Environment::Production) {
        check_production(effective, problems);
    }
}

fn check_required(effective: &Effective, problems: &mut Vec<Problem>) {
    let signing_key = algorithm(effective).map(JwtAlgorithm::signing_key_path);
    for path in ["database.url"].into_iter().chain(signing_key) {
        let explained = problems
            .iter()
            .any(|problem| problem.explains_absence_of(path));
        if is_absent(effective, path) && !explained {
            problems.extend(Key::find(path).and_then(missing));
        }
    }
}

/// `None` if it is not accepted, which the check of the values reports.
fn algorithm(effective: &Effective) -> Option<JwtAlgorithm> {
    JwtAlgorithm::from_name(effective.get("auth.jwt_algorithm")?.text()?)
}

/// Whether a key has no value, or an empty one that stands for none.
fn is_absent(effective: &Effective, path: &str) -> bool {
    effective
        .get(path)
        .is_none_or(|entry| entry.value == ValueKind::Nil)
}

fn missing(key: &'static Key) -> Option<Problem> {
    let variable = key.variables().next()?;
    Some(Problem::Missing {
        key: key.path,
        variable,
    })
}

fn check_orders(effective: &Effective, problems: &mut Vec<Problem>) {
    let orders = [
        (
            "connector.mock.min_delay_ms",
            "connector.mock.max_delay_ms",
            0,
        ),
        ("dispatch.first_retry_ms", "dispatch.longest_retry_ms", 0),
        // A quiet client is heard from once a ping: a shorter patience lets all of them go.
        ("streams.ping_seconds", "streams.idle_seconds", 1),
    ];
    for (lower, upper, distance) in orders {
        problems.extend(check_order(
            effective.get(lower),
            effective.get(upper),
            distance,
        ));
    }
}

fn check_order(lower: Option<&Entry>, upper: Option<&Entry>, distance: i64) -> Option<Problem> {
    let (lower, upper) = (lower?, upper?);
    let (ValueKind::I64(low), ValueKind::I64(high)) = (&lower.value, &upper.value) else {
        return None;
    };
    let relation = if distance == 0 {
        "at most"
    } else {
        "less than"
    };
    let (path, origin) = (upper.key.path, &upper.origin);
    (low + distance > *high)
        .then(|| lower.invalid(format!("{relation} {path} = {high} (from {origin})")))
}

/// The files for TLS, which would be ignored without it, and a pair of which one is no use alone.
fn check_redis_files(effective: &Effective, problems: &mut Vec<Problem>) {
    let has_tls = effective
        .get("redis.url")
        .and_then(Entry::text)
        .is_some_and(|url| url.starts_with("rediss:"));
    let files = ["redis.ca_path", "redis.cert_path", "redis.key_path"];
    let set = files.map(|path| effective.get(path).filter(|_| !is_absent(effective, path)));
    let is_in_use = !is_absent(effective, "redis.url");
    if is_in_use && !has_tls {
        for entry in set.into_iter().flatten() {
            problems.push(entry.invalid("no file unless redis.url begins with rediss://"));
        }
    }
    match set {
        [_, Some(entry), None] => {
            problems.push(entry.invalid("redis.key_path to be set together with redis.cert_path"));
        }
        [_, None, Some(entry)] => {
            problems.push(entry.invalid("redis.cert_path to be set together with redis.key_path"));
        }
        _ => {}
    }
}

fn check_production(effective: &Effective, problems: &mut Vec<Problem>) {
    let mut apply = |path: &str, rule: fn(&Entry) -> Option<Problem>| {
        problems.extend(effective.get(path).and_then(rule));
    };
    apply("auth.jwt_secret", check_secret);
    apply("auth.jwt_previous_secret", check_secret);
    apply("database.url", check_url_password);
    apply("redis.url", check_url_password);
    apply("server.cors_origins", check_origins);
    apply("auth.bcrypt_cost", check_cost);
    if !is_on(effective, "redis.allow_plaintext") {
        problems.extend(effective.get("redis.url").and_then(check_redis_plaintext));
    }
    if !is_on(effective, "database.allow_plaintext") {
        problems.extend(
            effective
                .get("database.url")
                .and_then(check_database_plaintext),
        );
    }
}

fn is_on(effective: &Effective, path: &str) -> bool {
    let entry = effective.get(path);
    entry.is_some_and(|entry| entry.value == ValueKind::Boolean(true))
}

fn check_redis_plaintext(entry: &Entry) -> Option<Problem> {
    let url = Url::parse(entry.text()?).ok()?;
    let is_plaintext = url.scheme() == "redis" && !is_loopback(url.host_str()?);
    is_plaintext.then(|| {
        entry.invalid(
            "rediss:// in production, or redis.allow_plaintext = true \
             (SOVD__REDIS__ALLOW_PLAINTEXT=true) to connect to another machine without encryption",
        )
    })
}

fn check_secret(entry: &Entry) -> Option<Problem> {
    let secret = entry.text()?;
    if secret.len() < 32 {
        Some(entry.invalid("at least 32 bytes in production"))
    } else if is_sample(secret) {
        Some(entry.invalid("a random secret in production, not a sample or a repetition"))
    } else {
        None
    }
}

fn check_url_password(entry: &Entry) -> Option<Problem> {
    let text = entry.text()?;
    let password = if let Some(url) = PostgresUrl::parse(text) {
        url.password()?
    } else {
        let url = Url::parse(text).ok()?;
        let in_query = url.query_pairs().find(|(name, _)| name == "password");
        let in_authority = url.password().map(str::to_owned);
        in_authority.or_else(|| in_query.map(|(_, value)| value.into_owned()))?
    };
    (password == "change-me").then(|| entry.invalid("another password than the sample"))
}

fn check_database_plaintext(entry: &Entry) -> Option<Problem> {
    let url = PostgresUrl::parse(entry.text()?)?;
    url.may_be_plaintext().then(|| {
        entry.invalid(
            "sslmode=verify-full with sslrootcert in production (require and verify-ca also \
             encrypt), as the host is another machine; database.allow_plaintext = true allows \
             plaintext",
        )
    })
}

fn check_origins(entry: &Entry) -> Option<Problem> {
    let ValueKind::Array(items) = &entry.value else {
        return None;
    };
    items
        .iter()
        .any(|item| item.kind == ValueKind::from("*"))
        .then(|| entry.invalid("the origins by name in production, not *"))
}

fn check_cost(entry: &Entry) -> Option<Problem> {
    matches!(entry.value, ValueKind::I64(..10))
        .then(|| entry.invalid("a whole number from 10 to 15 in production"))
}
