use sovd_settings::Settings;

use crate::setup::{DATABASE, Dir, assert_contains, env, error, load};

#[test]
fn a_bad_value_names_key_source_and_what_is_accepted() {
    let error = error(env([
        ("DATABASE_URL", DATABASE),
        ("SOVD__SERVER__PORT", "http"),
    ]));

    assert_eq!(
        error,
        "the configuration is not valid: server.port = \"http\" (from environment \
         SOVD__SERVER__PORT): expected a whole number from 0 to 65535"
    );
}

#[test]
fn all_problems_are_reported_together() {
    let dir = Dir::with([("development.toml", "[log]\nformat = \"xml\"\ncolour = true")]);

    let error = Settings::load(dir.under([
        ("SOVD__SERVER__PORT", "65536"),
        ("JWT_EXPIRATION_MINUTES", "0"),
        ("SOVD__NOTHING", "1"),
        ("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", "1501"),
    ]))
    .unwrap_err();

    assert_eq!(error.problems().len(), 8, "{error}");
    let text = error.to_string();
    assert_contains(&text, "the configuration has 8 problems:\n  ");
    let file = dir.path("development.toml");
    assert_contains(
        &text,
        &format!("log.format = \"xml\" (from {file}): expected one of json, "),
    );
    assert_contains(&text, "database.url is not set: set DATABASE_URL");
    assert_contains(&text, "auth.jwt_secret is not set: set JWT_SECRET");
}

#[test]
fn a_statement_takes_1_to_600_seconds() {
    let name = "SOVD__DATABASE__STATEMENT_SECONDS";
    for number in ["1", "600"] {
        load(env([("DATABASE_URL", DATABASE), (name, number)]));
    }
    for number in ["0", "601"] {
        let error = error(env([("DATABASE_URL", DATABASE), (name, number)]));
        assert_contains(&error, "database.statement_seconds = ");
        assert_contains(&error, "from 1 to 600");
    }
}

#[test]
fn numbers_about_agents_have_edges() {
    for (name, accepted, good, bad) in [
        (
            "BLOCKED_ATTEMPTS",
            "from 1 to 1000",
            ["1", "1000"],
            ["0", "1001"],
        ),
        (
            "BLOCKED_MINUTES",
            "from 1 to 1440",
            ["1", "1440"],
            ["0", "1441"],
        ),
        (
            "RETENTION_DAYS",
            "from 0 to 36500",
            ["0", "36500"],
            ["-1", "36501"],
        ),
    ] {
        let name = format!("SOVD__AGENTS__{name}");
        for number in good {
            load(env([("DATABASE_URL", DATABASE), (&name, number)]));
        }
        for number in bad {
            let error = error(env([("DATABASE_URL", DATABASE), (&name, number)]));
            assert_contains(&error, &format!("(from environment {name})"));
            assert_contains(&error, accepted);
        }
    }
}

#[test]
fn an_unknown_environment_is_an_error() {
    for name in ["prod", "", "Production"] {
        let error = error(env([
            ("DATABASE_URL", DATABASE),
            ("SOVD_ENVIRONMENT", name),
        ]));
        let expected = format!(
            "environment = {name:?} (from environment SOVD_ENVIRONMENT): expected one of \
             development, production, test"
        );
        assert_contains(&error, &expected);
        assert!(
            !error.contains("jwt_secret"),
            "its file may have one: {error}"
        );
    }
}

#[test]
fn the_shortest_delay_may_equal_the_longest_but_not_exceed_it() {
    let with_shortest = |shortest| {
        env([
            ("DATABASE_URL", DATABASE),
            ("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", shortest),
        ])
    };

    let mock = load(with_shortest("1500")).settings.connector.mock;
    assert_eq!(mock.min_delay(), mock.max_delay());
    assert_contains(
        &error(with_shortest("1501")),
        "connector.mock.min_delay_ms = 1501 (from environment SOVD__CONNECTOR__MOCK__MIN_DELAY_MS): \
         expected at most connector.mock.max_delay_ms = 1500 (from built-in default)",
    );
}

#[test]
fn a_ping_comes_before_the_patience_ends() {
    let with_ping = |seconds| {
        env([
            ("DATABASE_URL", DATABASE),
            ("SOVD__STREAMS__PING_SECONDS", seconds),
        ])
    };

    load(with_ping("59"));
    assert_contains(
        &error(with_ping("60")),
        "expected less than streams.idle_seconds = 60",
    );
}

#[test]
fn typed_values_of_a_file_are_checked_like_texts() {
    let dir = Dir::with([(
        "development.toml",
        "[server]\nport = 1.5\ncors_origins = [\"http://ok\", 5]\n[dispatch]\nenabled = 1\n\
         [auth]\njwt_algorithm = true\njwt_secret = \"x\"",
    )]);

    let error = error(dir.under([("DATABASE_URL", DATABASE)]));

    assert_contains(&error, "server.port = 1.5 (from");
    assert_contains(&error, "server.cors_origins = [\"http://ok\", 5] (from");
    assert_contains(&error, "dispatch.enabled = 1 (from");
    assert_contains(&error, "auth.jwt_algorithm = true (from");
}

#[test]
fn rejects_redis_certificates_that_would_not_be_used() {
    let redis = |url: &str, file: &str| {
        env([
            ("DATABASE_URL", DATABASE),
            ("REDIS_URL", url),
            (file, "/etc/sovd/file.pem"),
        ])
    };
    for name in ["CA_PATH", "CERT_PATH", "KEY_PATH"] {
        let variable = format!("SOVD__REDIS__{name}");
        let expected = "expected no file unless redis.url begins with rediss://";
        assert_contains(&error(redis("redis://cache", &variable)), expected);
    }
    let (cert, key) = ("SOVD__REDIS__CERT_PATH", "SOVD__REDIS__KEY_PATH");
    for (given, missing) in [(cert, "redis.key_path"), (key, "redis.cert_path")] {
        let expected = format!("expected {missing} to be set together with");
        assert_contains(&error(redis("rediss://cache", given)), &expected);
    }
    let mut both = redis("rediss://cache", cert);
    both.env
        .insert(key.to_owned(), "/etc/sovd/key.pem".to_owned());
    assert!(load(both).settings.redis.key_path.is_some());
    load(redis("rediss://cache", "SOVD__REDIS__CA_PATH"));
}
