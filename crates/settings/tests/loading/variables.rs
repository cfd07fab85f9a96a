use std::path::Path;

use sovd_settings::{ExposeSecret, JwtAlgorithm};

use crate::setup::{DATABASE, Dir, assert_contains, effective, env, error, load, with};

#[test]
fn customary_variables_set_their_keys() {
    let settings = load(env([
        ("DATABASE_URL", DATABASE),
        ("REDIS_URL", "redis://cache"),
        ("JWT_SECRET", "signing key"),
        ("JWT_ALGORITHM", "HS512"),
        ("JWT_EXPIRATION_MINUTES", "5"),
        ("LOG_LEVEL", "debug"),
        ("CORS_ORIGINS", "http://localhost:1, http://localhost:2"),
    ]))
    .settings;

    assert_eq!(settings.database.url.expose(), DATABASE);
    assert_eq!(settings.redis.url.unwrap().expose(), "redis://cache");
    let secret = settings.auth.jwt_secret.unwrap();
    assert_eq!(secret.expose_secret(), "signing key");
    assert_eq!(settings.auth.jwt_algorithm, JwtAlgorithm::Hs512);
    assert_eq!(settings.auth.jwt_expiration_minutes, 5);
    assert_eq!(settings.log.level, "debug");
    let origins = ["http://localhost:1", "http://localhost:2"];
    assert_eq!(settings.server.cors_origins, origins);
}

#[test]
fn the_prefixed_variable_overrides_the_customary_one_in_one_place() {
    let loaded = load(with([("LOG_LEVEL", "warn"), ("SOVD__LOG__LEVEL", "error")]));

    assert_eq!(
        effective(&loaded, "log.level"),
        ("\"error\"", "environment SOVD__LOG__LEVEL")
    );
}

#[test]
fn the_environment_overrides_dotenv_whatever_the_names() {
    let dir = Dir::with([(".env", "SOVD__LOG__LEVEL=error")]);

    let loaded = load(dir.with_variables([("LOG_LEVEL", "warn")]));

    assert_eq!(
        effective(&loaded, "log.level"),
        ("\"warn\"", "environment LOG_LEVEL")
    );
}

#[test]
fn a_file_variable_names_the_file_of_the_value() {
    let dir = Dir::with([
        ("url", &format!("{DATABASE}\n")),
        ("port", "1\r\n"),
        ("level", "warn"),
    ]);
    let (url, port, level) = (dir.path("url"), dir.path("port"), dir.path("level"));
    let dotenv = format!("LOG_LEVEL_FILE={level}");
    let dir = Dir::with([(".env", &dotenv)]);
    let mut sources = dir.with_variables([
        ("DATABASE_URL_FILE", &url),
        ("SOVD__SERVER__PORT_FILE", &port),
    ]);
    sources.env.remove("DATABASE_URL");
    let loaded = load(sources);

    assert_eq!(loaded.settings.database.url.expose(), DATABASE);
    assert_eq!(loaded.settings.server.port, 1);
    let dotenv = dir.path(".env");
    for (key, origin) in [
        (
            "database.url",
            format!("file {url} named by DATABASE_URL_FILE"),
        ),
        (
            "log.level",
            format!("file {level} named by {dotenv} LOG_LEVEL_FILE"),
        ),
    ] {
        assert_eq!(effective(&loaded, key).1, origin);
    }
}

#[test]
fn a_value_that_cannot_be_read_or_is_set_twice_names_its_variable() {
    for (variables, expected) in [
        (
            env([("DATABASE_URL_FILE", "/does/not/exist")]),
            "DATABASE_URL_FILE (from environment) names /does/not/exist, which cannot be read",
        ),
        (
            with([("DATABASE_URL_FILE", "/any")]),
            "DATABASE_URL and DATABASE_URL_FILE (from environment) are both set: keep one",
        ),
    ] {
        let error = error(variables);
        assert_contains(&error, expected);
        assert!(!error.contains("is not set"), "{error}");
    }
}

#[test]
fn an_empty_file_variable_is_absent() {
    load(with([("DATABASE_URL_FILE", "")]));
}

#[test]
fn an_empty_variable_clears_optional_settings_only() {
    let dir = Dir::with([(
        "default.toml",
        "redis.url = \"redis://cache\"\nagents.allow = [\"a:b\"]\n[connector.mock]\n\
         only = [\"ReadDTC\"]\njournal = \"a\"",
    )]);
    let settings = load(dir.with_variables([
        ("REDIS_URL", ""),
        ("CORS_ORIGINS", ""),
        ("SOVD__AGENTS__ALLOW", ""),
        ("SOVD__CONNECTOR__MOCK__ONLY", ""),
        ("SOVD__CONNECTOR__MOCK__JOURNAL", ""),
    ]))
    .settings;
    assert!(settings.redis.url.is_none());
    assert!(settings.server.cors_origins.is_empty());
    assert!(settings.agents.allow.is_empty());
    assert!(settings.connector.mock.only.is_empty());
    assert!(settings.connector.mock.journal.is_none());

    assert_contains(
        &error(with([("SOVD__LOG__LEVEL", "")])),
        "log.level = \"\" (from environment SOVD__LOG__LEVEL): expected off, ",
    );
    assert_contains(
        &error(with([("JWT_SECRET", "")])),
        "auth.jwt_secret is not set: set JWT_SECRET, or JWT_SECRET_FILE to a file that holds it",
    );
}

#[test]
fn lists_are_arrays_in_files_and_separated_by_commas_in_variables() {
    let dir = Dir::with([(
        "default.toml",
        "agents.allow = [\"a:commands.submit\"]\n[connector.mock]\nonly = [\"ReadDTC\"]\n\
         journal = \"a\"",
    )]);
    let settings = load(dir.sources()).settings;
    assert_eq!(settings.agents.allow, ["a:commands.submit"]);
    assert_eq!(settings.connector.mock.only, ["ReadDTC"]);
    assert_eq!(
        settings.connector.mock.journal.as_deref(),
        Some(Path::new("a"))
    );

    let allow = "a:commands.submit, b:bookings.book";
    let settings = load(dir.with_variables([
        ("SOVD__AGENTS__ALLOW", allow),
        ("SOVD__CONNECTOR__MOCK__ONLY", "ClearDTC, ReadDataByID"),
        ("SOVD__CONNECTOR__MOCK__JOURNAL", "/tmp/journal.jsonl"),
    ]))
    .settings;
    assert_eq!(
        settings.agents.allow,
        ["a:commands.submit", "b:bookings.book"]
    );
    assert_eq!(settings.connector.mock.only, ["ClearDTC", "ReadDataByID"]);
    assert_eq!(
        settings.connector.mock.journal.as_deref(),
        Some(Path::new("/tmp/journal.jsonl"))
    );
}

#[test]
fn a_problem_of_a_text_describes_its_format() {
    for (name, value, expected) in [
        (
            "TRUSTED_PROXIES",
            "10.0.0.0/8,0.0.0.0/0",
            "server.trusted_proxies = \"10.0.0.0/8,0.0.0.0/0\" (from environment \
             TRUSTED_PROXIES): expected IP addresses, or networks",
        ),
        (
            "SOVD__CONNECTOR__MOCK__ONLY",
            "ClearDTC,Read DTC",
            "connector.mock.only = \"ClearDTC,Read DTC\" (from environment \
             SOVD__CONNECTOR__MOCK__ONLY): expected command names of 1 to 100 letters and digits",
        ),
        (
            "SOVD__AGENTS__ALLOW",
            "a:commands.submit,b",
            "agents.allow = \"a:commands.submit,b\" (from environment SOVD__AGENTS__ALLOW): \
             expected the name of a service account, a colon and a permission, as \
             fleet-monitor:commands.submit; several as a list, or separated by commas in a \
             variable",
        ),
        (
            "SOVD__MAINTENANCE__ANOMALY_RULES",
            "/etc/sovd/",
            "maintenance.anomaly_rules = \"/etc/sovd/\" (from environment \
             SOVD__MAINTENANCE__ANOMALY_RULES): expected the path of a file, or an empty text \
             for none",
        ),
    ] {
        assert_contains(&error(with([(name, value)])), expected);
    }
}

#[test]
fn rejects_prefixed_variables_without_a_key() {
    let dir = Dir::with([(".env", "SOVD__LOG=info")]);

    let error = error(dir.with_variables([
        ("SOVD__SERVER__PROT", "1"),
        ("SOVD__SERVER__PROT_FILE", "/any"),
        ("SOVD_UNRELATED", "1"),
    ]));

    for (name, place) in [
        ("SOVD__SERVER__PROT", "environment"),
        ("SOVD__SERVER__PROT_FILE", "environment"),
        ("SOVD__LOG", &dir.path(".env")),
    ] {
        assert_contains(&error, &format!("{name} (from {place}) is not a setting"));
    }
    assert!(!error.contains("UNRELATED"), "{error}");
}

#[test]
fn rejects_an_override_without_a_key() {
    let mut sources = with([]);
    let key = "server.prot".to_owned();
    sources.overrides.insert(key, "1".to_owned());

    assert_contains(
        &error(sources),
        "server.prot (from override) is not a setting",
    );
}
