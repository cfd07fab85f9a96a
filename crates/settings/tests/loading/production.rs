use std::fs;
use std::path::Path;

use sovd_settings::{DeploymentEnvironment, LogFormat, Sources};

use crate::setup::{SECRET, assert_contains, env, error, load, with};

/// Sources of production with a secret, a database URL and this variable.
fn production(name: &str, value: &str) -> Sources {
    crate::setup::production([("JWT_SECRET", SECRET), (name, value)])
}

#[test]
fn requires_a_database_url_and_a_secret() {
    let error = error(env([("SOVD__ENVIRONMENT", "production")]));

    assert_contains(&error, "database.url is not set: set DATABASE_URL");
    assert_contains(&error, "auth.jwt_secret is not set: set JWT_SECRET");
}

#[test]
fn production_has_defaults_of_its_own() {
    let production = load(production("JWT_ALGORITHM", "HS384")).settings;
    let development = load(with([])).settings;

    assert_eq!(production.environment, DeploymentEnvironment::Production);
    assert_eq!(production.log.format, LogFormat::Json);
    assert_eq!(production.server.https_only().as_secs(), 365 * 86_400);
    assert!(development.server.https_only().is_zero());
    assert_eq!(production.maintenance.insight_threshold, 2);
    assert_eq!(development.maintenance.insight_threshold, 0);
}

#[test]
fn rejects_a_secret_of_less_than_32_bytes() {
    load(production("JWT_SECRET", SECRET));
    assert_contains(
        &error(production("JWT_SECRET", &SECRET[1..])),
        "auth.jwt_secret = *** (from environment JWT_SECRET): expected at least 32 bytes",
    );
}

#[test]
fn rejects_sample_and_weak_secrets() {
    for secret in [
        "development-sample-secret-change-me",
        "sample-token-key-change-me-before-production",
        "change-me-change-me-change-me-change-me",
        "Change_Me_7c1f0b6f4f1e9d2a8b5c3d4e6f708192",
        "secretsecretsecretsecretsecretse",
        "secret-secret-secret-secret-secret",
        "super-secret-jwt-key-for-production",
        "12345678901234567890123456789012",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "secret-production-0123456789abcde",
    ] {
        let error = error(production("JWT_SECRET", secret));
        assert_contains(&error, "auth.jwt_secret = ***");
        assert_contains(&error, "expected a random secret in production");
        assert!(!error.contains(secret), "{error}");
    }
    for secret in [
        "7c1f0b6f4f1e9d2a8b5c3d4e6f7081927c1f0b6f4f1e9d2a",
        "q0Jm3vXz8Lw2Nf6Kb1Rt5Yp9Hc4Gd7Se",
        "!#%&/()=?+*^<>|{}[]~,;:@$'`!\"9aZ",
        "secret-production-0123456789abcdef",
    ] {
        load(production("JWT_SECRET", secret));
    }
}

#[test]
fn rejects_the_values_of_the_example_file() {
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
fn rejects_a_plaintext_database_on_another_machine() {
    for url in [
        "postgres://sovd@db.example/sovd",
        "postgres://sovd@localhost,db.example:5433/sovd?sslmode=prefer",
        "postgres://sovd:hunter2@192.0.2.1/sovd?sslmode=disable",
        "postgres://localhost/sovd?host=db.example",
        "postgres://localhost/sovd?hostaddr=192.0.2.1",
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
        "postgres://[::1]/sovd",
        "postgres://127.0.0.2,[::1]:5433/sovd?sslmode=disable",
        "postgres:///sovd?host=/run/postgresql",
        "postgres://%2Frun%2Fpostgresql/sovd",
    ] {
        load(production("DATABASE_URL", url));
    }
}

#[test]
fn rejects_a_sample_password_anywhere_in_a_url() {
    for url in [
        "postgres://sovd:change-me@localhost/sovd",
        "postgres://sovd:change-me@localhost,[::1]/sovd",
        "postgres://localhost,[::1]/sovd?password=change-me",
    ] {
        let error = error(production("DATABASE_URL", url));
        assert_contains(&error, "a password other than the sample");
        assert!(!error.contains("change-me"), "{error}");
    }
}

#[test]
fn rejects_the_origin_of_any_page() {
    load(production("CORS_ORIGINS", "https://app.example"));
    assert_contains(
        &error(production("CORS_ORIGINS", "https://app.example,*")),
        "expected the origins by name in production",
    );
    load(with([("CORS_ORIGINS", "*")]));
}

#[test]
fn rejects_a_bcrypt_cost_below_10() {
    load(production("SOVD__AUTH__BCRYPT_COST", "10"));
    assert_contains(
        &error(production("SOVD__AUTH__BCRYPT_COST", "9")),
        "auth.bcrypt_cost = 9 (from environment SOVD__AUTH__BCRYPT_COST): expected a whole number \
         from 10 to 15",
    );
    load(with([("SOVD__AUTH__BCRYPT_COST", "4")]));
}

#[test]
fn rejects_a_plaintext_redis_on_another_machine() {
    for url in [
        "redis://cache",
        "redis://user:hunter2@10.0.0.7:6379/1",
        "redis://126.255.255.255",
        "redis://128.0.0.1",
        "redis://[::2]",
        "redis://0.0.0.0",
        "redis://localhost.example.com",
        "redis://127.0.0.1.example.com",
    ] {
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
        load(with([("REDIS_URL", url)]));
    }
    for url in [
        "rediss://cache",
        "redis://localhost",
        "redis://LOCALHOST",
        "redis://127.0.0.1",
        "redis://127.255.255.254",
        "redis://[::1]:6379",
        "redis://[::ffff:127.0.0.1]",
    ] {
        load(production("REDIS_URL", url));
    }
}
