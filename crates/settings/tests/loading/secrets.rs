use sovd_settings::{Settings, Sources};

use crate::setup::{Dir, env, load};

const HIDDEN: &str = "hunter2";
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----";

#[track_caller]
fn assert_refused_in_silence(sources: Sources) {
    let error = Settings::load(sources).unwrap_err();
    let text = format!("{error} {error:?} {error:#?}");
    assert!(!text.contains(HIDDEN), "{text}");
}

#[test]
fn settings_and_rows_show_no_secret() {
    let loaded = load(env([
        ("DATABASE_URL", "postgres://sovd:hunter2@db/sovd"),
        ("REDIS_URL", "redis://:hunter2@cache"),
        ("JWT_SECRET", "hunter2"),
        ("SOVD__AUDIT__CHECKPOINT_PRIVATE_KEY", PRIVATE_KEY),
    ]));

    let text = format!("{loaded:?} {loaded:#?}");
    assert!(!text.contains(HIDDEN), "{text}");
    let value = |key| {
        loaded
            .describe()
            .iter()
            .find(|row| row.key == key)
            .unwrap()
            .value
            .as_str()
    };
    assert_eq!(value("database.url"), "\"postgres://sovd:***@db/sovd\"");
    assert_eq!(value("redis.url"), "\"redis://:***@cache\"");
    assert_eq!(value("auth.jwt_secret"), "***");
    assert_eq!(value("audit.checkpoint_private_key"), "***");
    assert_eq!(value("server.port"), "8080");
    assert_eq!(value("log.level"), "\"info\"");
}

#[test]
fn a_key_without_a_value_has_a_row() {
    let loaded = load(env([("DATABASE_URL", "postgres://db/sovd")]));

    let row = loaded
        .describe()
        .iter()
        .find(|row| row.key == "redis.url")
        .unwrap();
    assert_eq!(
        (row.value.as_str(), row.origin.as_str()),
        ("none", "built-in default")
    );
}

#[test]
fn a_bad_address_is_reported_without_its_password() {
    for url in [
        "hunter2",
        "mysql://sovd:hunter2@db/sovd",
        "sovd:hunter2@db/sovd",
        "postgres://sovd:hunter2/@db/sovd",
        "postgres://sovd:1/hunter2@db/sovd",
        "postgres://sovd:hunter2@/sovd",
        "postgres:///sovd?password=hunter2",
    ] {
        assert_refused_in_silence(env([("DATABASE_URL", url)]));
        assert_refused_in_silence(env([("REDIS_URL", url)]));
    }
}

#[test]
fn an_address_in_the_wrong_variable_is_reported_without_its_password() {
    for url in ["postgres://sovd:hunter2@db/sovd", "sovd:hunter2@db/sovd"] {
        for name in [
            "CORS_ORIGINS",
            "LOG_LEVEL",
            "SOVD__SERVER__HOST",
            "SOVD__SERVER__PORT",
        ] {
            assert_refused_in_silence(env([(name, url)]));
        }
    }
}

#[test]
fn a_secret_of_the_wrong_type_is_not_shown() {
    for value in ["[\"hunter2\"]", "{ hunter = \"hunter2\" }"] {
        for key in [
            "auth.jwt_secret",
            "database.url",
            "redis.url",
            "audit.checkpoint_private_key",
        ] {
            let dir = Dir::with([("development.toml", &format!("{key} = {value}"))]);
            assert_refused_in_silence(dir.under([]));
        }
    }
}

#[test]
fn a_key_in_the_wrong_place_is_not_shown() {
    for name in ["CHECKPOINT_PRIVATE_KEY", "CHECKPOINT_PUBLIC_KEY"] {
        let variable = format!("SOVD__AUDIT__{name}");
        assert_refused_in_silence(env([(variable.as_str(), HIDDEN)]));
    }
    assert_refused_in_silence(env([("SOVD__AUDIT__CHECKPOINT_PUBLIC_KEY", PRIVATE_KEY)]));
}

#[test]
fn a_secret_under_a_mistyped_key_is_not_shown() {
    let dir = Dir::with([("development.toml", "auth.jwt_secrte = \"hunter2\"")]);

    assert_refused_in_silence(dir.under([("SOVD__AUTH__JWT_SECRTE", HIDDEN)]));
}

#[test]
fn a_line_with_bad_syntax_is_not_quoted() {
    for line in [
        "auth.jwt_secret = \"hunter2",
        "auth.jwt_secret = hunter2",
        "auth.jwt_secret = \"\"\"hunter2",
        "auth.jwt_secret = 'a' hunter2",
        "hunter2",
        "auth.jwt_secret = \"\\hunter2\"",
        "auth.jwt_secret = \"a\"\nauth.jwt_secret = \"hunter2\"",
    ] {
        let dir = Dir::with([("development.toml", line)]);
        assert_refused_in_silence(dir.under([]));
    }
    for line in [
        "JWT_SECRET='hunter2",
        "JWT_SECRET=a hunter2",
        "JWT SECRET=hunter2",
        "hunter2",
    ] {
        let dir = Dir::with([(".env", line)]);
        assert_refused_in_silence(dir.under([]));
    }
}

#[test]
fn a_secret_that_is_too_short_for_production_is_not_shown() {
    assert_refused_in_silence(env([
        ("SOVD_ENVIRONMENT", "production"),
        ("JWT_SECRET", HIDDEN),
        ("DATABASE_URL", "postgres://db/sovd"),
    ]));
}
