use serde::Deserialize;
use sovd_settings::{SecretUrl, Settings, Sources, load_sections};

use crate::setup::{Dir, effective, env, load};

const HIDDEN: &str = "hunter2";
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----";

#[track_caller]
fn assert_rejected_without_the_secret(sources: Sources) {
    let error = Settings::load(sources).unwrap_err();
    let text = format!("{error} {error:?} {error:#?}");
    assert!(!text.contains(HIDDEN), "{text}");
}

#[test]
fn settings_and_descriptions_show_no_secrets() {
    let loaded = load(env([
        ("DATABASE_URL", "postgres://sovd:hunter2@db/sovd"),
        ("REDIS_URL", "redis://:hunter2@cache"),
        ("JWT_SECRET", "hunter2"),
        ("SOVD__AUDIT__CHECKPOINT_PRIVATE_KEY", PRIVATE_KEY),
    ]));

    let text = format!("{loaded:?} {loaded:#?}");
    assert!(!text.contains(HIDDEN), "{text}");
    for (key, value) in [
        ("database.url", "\"postgres://sovd:***@db/sovd\""),
        ("redis.url", "\"redis://:***@cache\""),
        ("auth.jwt_secret", "***"),
        ("audit.checkpoint_private_key", "***"),
        ("server.port", "8080"),
        ("log.level", "\"info\""),
    ] {
        assert_eq!(effective(&loaded, key).0, value, "{key}");
    }
}

#[test]
fn an_invalid_url_is_reported_without_its_password() {
    for url in [
        "hunter2",
        "mysql://sovd:hunter2@db/sovd",
        "sovd:hunter2@db/sovd",
        "postgres://sovd:hunter2/@db/sovd",
        "postgres://sovd:1/hunter2@db/sovd",
        "postgres://sovd:hunter2@/sovd",
        "postgres:///sovd?password=hunter2",
    ] {
        assert_rejected_without_the_secret(env([("DATABASE_URL", url)]));
        assert_rejected_without_the_secret(env([("REDIS_URL", url)]));
    }
}

#[test]
fn a_url_in_the_wrong_variable_is_reported_without_its_password() {
    for url in ["postgres://sovd:hunter2@db/sovd", "sovd:hunter2@db/sovd"] {
        for name in [
            "CORS_ORIGINS",
            "LOG_LEVEL",
            "SOVD__SERVER__HOST",
            "SOVD__SERVER__PORT",
        ] {
            assert_rejected_without_the_secret(env([(name, url)]));
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
            let mut sources = dir.sources();
            sources.env.clear();
            assert_rejected_without_the_secret(sources);
        }
    }
}

#[test]
fn a_private_key_in_the_wrong_variable_is_not_shown() {
    for name in ["CHECKPOINT_PRIVATE_KEY", "CHECKPOINT_PUBLIC_KEY"] {
        let variable = format!("SOVD__AUDIT__{name}");
        assert_rejected_without_the_secret(env([(variable.as_str(), HIDDEN)]));
    }
    assert_rejected_without_the_secret(env([("SOVD__AUDIT__CHECKPOINT_PUBLIC_KEY", PRIVATE_KEY)]));
}

#[test]
fn a_secret_under_a_mistyped_key_is_not_shown() {
    let dir = Dir::with([("development.toml", "auth.jwt_secrte = \"hunter2\"")]);

    assert_rejected_without_the_secret(dir.with_variables([("SOVD__AUTH__JWT_SECRTE", HIDDEN)]));
}

#[test]
fn a_syntax_error_does_not_quote_the_line() {
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
        assert_rejected_without_the_secret(dir.sources());
    }
    for line in [
        "JWT_SECRET='hunter2",
        "JWT_SECRET=a hunter2",
        "JWT SECRET=hunter2",
        "hunter2",
    ] {
        let dir = Dir::with([(".env", line)]);
        assert_rejected_without_the_secret(dir.sources());
    }
}

#[test]
fn a_secret_that_production_rejects_is_not_shown() {
    assert_rejected_without_the_secret(env([
        ("SOVD_ENVIRONMENT", "production"),
        ("JWT_SECRET", HIDDEN),
        ("DATABASE_URL", "postgres://db/sovd"),
    ]));
}

#[test]
fn a_url_is_shown_without_its_passwords() {
    for (url, shown) in [
        (
            "postgres://sovd:hunter2@db:5432/sovd?sslmode=require",
            "postgres://sovd:***@db:5432/sovd?sslmode=require",
        ),
        (
            "postgres://sovd:hunter2@db1:1,[::1],db3:3/sovd?sslmode=require",
            "postgres://sovd:***@db1:1,[::1],db3:3/sovd?sslmode=require",
        ),
        (
            "postgres://db1,db2/sovd?password=hunter2",
            "postgres://db1,db2/sovd?password=***",
        ),
        (
            "postgres://db/sovd?user=sovd&sslpassword=hunter2",
            "postgres://db/sovd?user=sovd&sslpassword=***",
        ),
        ("redis://cache", "redis://cache"),
    ] {
        let secret = SecretUrl::new(url);
        assert_eq!(secret.to_string(), shown);
        assert_eq!(format!("{secret:?}"), format!("SecretUrl({shown})"));
        assert_eq!(secret.expose(), url);
    }
}

#[test]
fn an_ambiguous_url_is_hidden_entirely() {
    for url in [
        "hunter2",
        "sovd:hunter2@db/sovd",
        "postgres://sovd:hunter2/x@db/sovd",
        "postgres://sovd:12/hunter2@db/sovd",
        "postgres://sovd:12?hunter2@db/sovd",
        "postgres://sovd:12#hunter2",
    ] {
        assert_eq!(SecretUrl::new(url).to_string(), "***", "{url}");
    }
    let url = SecretUrl::new("postgres://sovd:hunter,2@x@db1,db2/sovd");
    assert!(!url.to_string().contains("hunter"), "{url}");
}

#[test]
fn a_value_that_does_not_match_its_field_is_not_shown() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "never loaded")]
    struct Sections {
        database: Database,
    }
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "never loaded")]
    struct Database {
        url: u16,
    }

    let sources = env([("DATABASE_URL", "postgres://sovd:hunter2@db/sovd")]);
    let error = load_sections::<Sections>(sources, &["database"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration is not valid: database.url does not match its field"
    );
    assert!(!format!("{error:?}").contains(HIDDEN), "{error:?}");
}
