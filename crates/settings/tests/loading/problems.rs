use sovd_settings::Settings;

use crate::setup::{Dir, assert_contains, error, load, with};

#[test]
fn a_problem_names_key_origin_and_accepted_values() {
    assert_eq!(
        error(with([("SOVD__SERVER__PORT", "http")])),
        "the configuration is not valid: server.port = \"http\" (from environment \
         SOVD__SERVER__PORT): expected a whole number from 0 to 65535"
    );
}

#[test]
fn reports_all_problems_together() {
    let dir = Dir::with([("development.toml", "[log]\nformat = \"xml\"\ncolour = true")]);
    let mut sources = dir.with_variables([
        ("SOVD__SERVER__PORT", "65536"),
        ("JWT_EXPIRATION_MINUTES", "0"),
        ("SOVD__NOTHING", "1"),
        ("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", "1501"),
    ]);
    sources.env.remove("DATABASE_URL");

    let error = Settings::load(sources).unwrap_err();

    assert_eq!(error.problems.len(), 8, "{error}");
    let text = error.to_string();
    let file = dir.path("development.toml");
    for expected in [
        "the configuration has 8 problems:\n  ",
        &format!("log.format = \"xml\" (from {file}): expected one of json, pretty"),
        &format!("log.colour (from {file}) is not a setting"),
        "server.port = \"65536\"",
        "auth.jwt_expiration_minutes = \"0\"",
        "SOVD__NOTHING (from environment) is not a setting",
        "connector.mock.min_delay_ms = 1501",
        "database.url is not set: set DATABASE_URL",
        "auth.jwt_secret is not set: set JWT_SECRET",
    ] {
        assert_contains(&text, expected);
    }
}

#[test]
fn numbers_are_accepted_within_their_bounds_only() {
    for (name, min, max) in [
        ("DATABASE__STATEMENT_SECONDS", 1, 600),
        ("DISPATCH__WAITING_PER_VEHICLE", 0, 1_000_000),
        ("DISPATCH__WAITING_PER_USER", 0, 1_000_000),
        ("LIMITS__REQUESTS_IN_FLIGHT", 1, 10_000),
        ("LIMITS__LISTS_IN_FLIGHT", 1, 1000),
        ("LIMITS__EXPORTS_PER_USER", 1, 1000),
        ("LIMITS__EXPORTS_IN_FLIGHT", 1, 1000),
        ("AGENTS__BLOCKED_ATTEMPTS", 1, 1000),
        ("AGENTS__BLOCKED_MINUTES", 1, 1440),
        ("AGENTS__RETENTION_DAYS", 0, 36_500),
        ("MAINTENANCE__SLOT_MINUTES", 1, 1440),
        ("MAINTENANCE__INSIGHT_THRESHOLD", 0, 1_000_000),
    ] {
        let name = format!("SOVD__{name}");
        let set = |number: i64| with([(&name, &number.to_string())]);
        load(set(min));
        load(set(max));
        let expected =
            format!("(from environment {name}): expected a whole number from {min} to {max}");
        assert_contains(&error(set(min - 1)), &expected);
        assert_contains(&error(set(max + 1)), &expected);
    }
}

#[test]
fn rejects_an_unknown_environment() {
    for name in ["prod", "", "Production"] {
        let error = error(with([("SOVD_ENVIRONMENT", name)]));
        let expected = format!(
            "environment = {name:?} (from environment SOVD_ENVIRONMENT): expected one of \
             development, production, test"
        );
        assert_contains(&error, &expected);
        assert!(
            !error.contains("jwt_secret"),
            "the file of the environment may set it: {error}"
        );
    }
}

#[test]
fn numbers_in_order_are_accepted_up_to_equality_or_below_it() {
    for (lower, upper, greatest, too_great, expected) in [
        (
            "connector.mock.min_delay_ms",
            "connector.mock.max_delay_ms = 1500",
            "1500",
            "1501",
            "at most",
        ),
        (
            "dispatch.first_retry_ms",
            "dispatch.longest_retry_ms = 60000",
            "60000",
            "60001",
            "a whole number from 1 to 60000",
        ),
        (
            "streams.ping_seconds",
            "streams.idle_seconds = 60",
            "59",
            "60",
            "less than",
        ),
    ] {
        let variable = format!("SOVD__{}", lower.replace('.', "__").to_uppercase());
        load(with([(&variable, greatest)]));
        let error = error(with([(&variable, too_great)]));
        assert_contains(
            &error,
            &format!("(from environment {variable}): expected {expected}"),
        );
        if !expected.starts_with("a whole number") {
            assert_contains(&error, &format!("{lower} = {too_great} (from"));
            assert_contains(
                &error,
                &format!("{expected} {upper} (from built-in default)"),
            );
        }
    }
    let first = ("SOVD__DISPATCH__FIRST_RETRY_MS", "11");
    let longest = |value| with([first, ("SOVD__DISPATCH__LONGEST_RETRY_MS", value)]);
    let equal = load(longest("11")).settings.dispatch;
    assert_eq!(equal.first_retry(), equal.longest_retry());
    assert_contains(
        &error(longest("10")),
        "expected at most dispatch.longest_retry_ms = 10",
    );
}

#[test]
fn typed_values_of_a_file_are_validated_like_texts() {
    for (key, value) in [
        ("server.port", "1.5"),
        ("server.port", "5.0"),
        ("server.port", "true"),
        ("server.cors_origins", "[\"http://ok\", 5]"),
        ("dispatch.enabled", "1"),
        ("connector.mock.journal", "5"),
        ("auth.jwt_algorithm", "true"),
        ("auth.jwt_secret", "5"),
    ] {
        let dir = Dir::with([("development.toml", &format!("{key} = {value}"))]);
        let shown = if key == "auth.jwt_secret" {
            "***"
        } else {
            value
        };
        assert_contains(&error(dir.sources()), &format!("{key} = {shown} (from "));
    }
}

#[test]
fn rejects_redis_certificates_that_would_be_ignored() {
    let redis = |url: &str, files: &[&str]| {
        let mut sources = with([("REDIS_URL", url)]);
        for name in files {
            let (name, path) = (format!("SOVD__REDIS__{name}"), "/etc/sovd/file.pem");
            sources.env.insert(name, path.to_owned());
        }
        sources
    };
    for name in ["CA_PATH", "CERT_PATH", "KEY_PATH"] {
        assert_contains(
            &error(redis("redis://cache", &[name])),
            "expected no file unless redis.url begins with rediss://",
        );
    }
    for (given, missing) in [("CERT_PATH", "key_path"), ("KEY_PATH", "cert_path")] {
        assert_contains(
            &error(redis("rediss://cache", &[given])),
            &format!("expected redis.{missing} to be set together with"),
        );
    }
    let both = load(redis("rediss://cache", &["CERT_PATH", "KEY_PATH"]));
    assert!(both.settings.redis.key_path.is_some());
    load(redis("rediss://cache", &["CA_PATH"]));
    load(redis("", &["CA_PATH"]));
}
