use std::fs;
use std::path::Path;

use sovd_settings::{Environment, LogFormat, Sources};

use crate::setup::{DATABASE, assert_contains, env, error, load};

/// 32 bytes, the fewest that are accepted.
const SECRET: &str = "7c1f0b6f4f1e9d2a8b5c3d4e6f708192";

fn production(name: &str, value: &str) -> Sources {
    let mut sources = env([
        ("SOVD_ENVIRONMENT", "production"),
        ("DATABASE_URL", DATABASE),
        ("JWT_SECRET", SECRET),
    ]);
    sources.env.insert(name.to_owned(), value.to_owned());
    sources
}

#[test]
fn production_needs_an_address_and_a_secret() {
    let error = error(env([("SOVD__ENVIRONMENT", "production")]));

    assert_contains(&error, "database.url is not set: set DATABASE_URL");
    assert_contains(&error, "auth.jwt_secret is not set: set JWT_SECRET");
}

#[test]
fn production_logs_json() {
    let settings = load(production("JWT_ALGORITHM", "HS384")).settings;

    assert_eq!(settings.environment, Environment::Production);
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn production_insists_on_https_for_a_year() {
    let server = load(production("JWT_ALGORITHM", "HS384")).settings.server;

    assert_eq!(server.https_only().as_secs(), 365 * 86_400);
    let server = load(env([("DATABASE_URL", DATABASE)])).settings.server;
    assert!(server.https_only().is_zero());
}

#[test]
fn production_takes_more_than_two_failures_for_an_insight() {
    let threshold = |sources| load(sources).settings.maintenance.insight_threshold;
    assert_eq!(threshold(production("JWT_ALGORITHM", "HS384")), 2);
    assert_eq!(threshold(env([("DATABASE_URL", DATABASE)])), 0);
}

#[test]
fn a_secret_has_at_least_32_bytes() {
    load(production("JWT_SECRET", SECRET));
    assert_contains(
        &error(production("JWT_SECRET", &SECRET[1..])),
        "auth.jwt_secret = *** (from environment JWT_SECRET): expected at least 32 bytes",
    );
}

#[test]
fn a_sample_secret_is_refused() {
    for secret in ["development-sample-secret-change-me", &"secret".repeat(8)] {
        let error = error(production("JWT_SECRET", secret));
        assert_contains(&error, "auth.jwt_secret = ***");
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn the_values_of_the_example_file_run_in_development_only() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/.env.example");
    let mut sources = Sources {
        dotenv: Some(example.clone()),
        ..Sources::default()
    };
    load(sources.clone());

    sources
        .env
        .insert("SOVD_ENVIRONMENT".to_owned(), "production".to_owned());
    let error = error(sources);

    for key in [
        "auth.jwt_secret = ***",
        "database.url = \"postgres://sovd:***@",
        "redis.url = \"",
    ] {
        assert_contains(&error, key);
    }
    assert!(!error.contains("change-me"), "{error}");
    let text = fs::read_to_string(example).unwrap();
    for name in [
        "SOVD_ENVIRONMENT",
        "DATABASE_URL",
        "REDIS_URL",
        "JWT_SECRET",
        "JWT_ALGORITHM",
        "JWT_EXPIRATION_MINUTES",
        "LOG_LEVEL",
        "CORS_ORIGINS",
    ] {
        assert_contains(&text, &format!("\n{name}="));
    }
}

#[test]
fn plaintext_to_a_database_on_another_machine_is_refused() {
    for url in [
        "postgres://sovd@db.example/sovd",
        "postgres://sovd@localhost,db.example:5433/sovd?sslmode=prefer",
        "postgres://sovd:hunter2@192.0.2.1/sovd?sslmode=disable",
    ] {
        let error = error(production("DATABASE_URL", url));
        assert_contains(&error, "database.url = \"postgres://");
        assert_contains(&error, "expected sslmode=verify-full with sslrootcert");
        assert_contains(&error, "database.allow_plaintext = true allows");
        assert!(!error.contains("hunter2"), "{error}");

        let mut allowed = production("DATABASE_URL", url);
        let name = "SOVD__DATABASE__ALLOW_PLAINTEXT".to_owned();
        allowed.env.insert(name, "true".to_owned());
        load(allowed);
        load(env([("DATABASE_URL", url)]));
    }
    for url in [
        "postgres://sovd@db.example/sovd?sslmode=require",
        "postgres://sovd@a.example,b.example/sovd?sslmode=verify-full&sslrootcert=/ca.pem",
        "postgres://sovd@127.0.0.1/sovd",
        "postgres:///sovd?host=/run/postgresql",
    ] {
        load(production("DATABASE_URL", url));
    }
}

#[test]
fn a_sample_password_is_refused_among_several_hosts() {
    let url = "postgres://sovd:change-me@localhost,[::1]/sovd";
    let error = error(production("DATABASE_URL", url));
    assert_contains(&error, "another password than the sample");
    assert!(!error.contains("change-me"), "{error}");
}

#[test]
fn any_origin_is_refused() {
    load(production("CORS_ORIGINS", "https://app.example"));
    assert_contains(
        &error(production("CORS_ORIGINS", "https://app.example,*")),
        "expected the origins by name in production",
    );
    load(env([("DATABASE_URL", DATABASE), ("CORS_ORIGINS", "*")]));
}

#[test]
fn bcrypt_costs_at_least_10() {
    load(production("SOVD__AUTH__BCRYPT_COST", "10"));
    assert_contains(
        &error(production("SOVD__AUTH__BCRYPT_COST", "9")),
        "auth.bcrypt_cost = 9 (from environment SOVD__AUTH__BCRYPT_COST): expected a whole number \
         from 10 to 15",
    );
    load(env([
        ("DATABASE_URL", DATABASE),
        ("SOVD__AUTH__BCRYPT_COST", "4"),
    ]));
}

#[test]
fn production_refuses_a_plaintext_redis_on_another_machine() {
    for url in ["redis://cache", "redis://user:hunter2@10.0.0.7:6379/1"] {
        let text = error(production("REDIS_URL", url));
        assert_contains(
            &text,
            "expected rediss:// in production, or redis.allow_plaintext = true",
        );
        assert_contains(&text, "SOVD__REDIS__ALLOW_PLAINTEXT=true");
        assert!(!text.contains("hunter2"), "{text}");
        let mut allowed = production("REDIS_URL", url);
        let (name, on) = ("SOVD__REDIS__ALLOW_PLAINTEXT", "true");
        allowed.env.insert(name.to_owned(), on.to_owned());
        assert!(load(allowed).settings.redis.allow_plaintext);
        load(env([("DATABASE_URL", DATABASE), ("REDIS_URL", url)]));
    }
    for url in [
        "rediss://cache",
        "redis://localhost",
        "redis://127.0.0.1",
        "redis://[::1]:6379",
    ] {
        load(production("REDIS_URL", url));
    }
}
