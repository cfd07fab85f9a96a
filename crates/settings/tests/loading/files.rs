use sovd_settings::{Environment, LogFormat};

use crate::setup::{DATABASE, Dir, assert_contains, env, error, load};

#[test]
fn a_program_runs_without_any_file() {
    let loaded = load(env([("DATABASE_URL", DATABASE)]));

    let settings = &loaded.settings;
    assert_eq!(settings.environment, Environment::Development);
    assert_eq!(
        (settings.server.host.as_str(), settings.server.port),
        ("127.0.0.1", 8080)
    );
    assert_eq!(
        (
            settings.database.pool_size,
            settings.database.max_connections()
        ),
        (20, 30)
    );
    assert_eq!(settings.log.format, LogFormat::Pretty);
    assert!(settings.redis.url.is_none());
    assert_eq!(loaded.origins.of("server.port"), Some("built-in default"));
    assert_eq!(loaded.origins.of("environment"), Some("built-in default"));
    assert_eq!(
        loaded.origins.of("log.format"),
        Some("built-in development.toml")
    );
}

#[test]
fn rules_in_the_directory_are_found_and_give_way_to_every_key() {
    let rules = |sources| {
        let loaded = load(sources);
        let origin = loaded.origins.of("maintenance.anomaly_rules");
        let origin = origin.map(str::to_owned);
        (loaded.settings.maintenance.anomaly_rules, origin.unwrap())
    };
    let url = ("DATABASE_URL", DATABASE);
    let dir = Dir::with([("anomaly_rules.toml", "rule = []")]);
    let (found, origin) = rules(dir.under([url]));
    let found = found.unwrap();
    assert!(found.ends_with("anomaly_rules.toml") && found.exists());
    assert!(origin.ends_with("anomaly_rules.toml"), "{origin}");
    let other = dir.under([url, ("SOVD__MAINTENANCE__ANOMALY_RULES", "other.toml")]);
    assert_eq!(rules(other).0, Some("other.toml".into()));
    let none = dir.under([url, ("SOVD__MAINTENANCE__ANOMALY_RULES", "")]);
    assert_eq!(rules(none).0, None);
    let dir = Dir::with([
        ("anomaly_rules.toml", "rule = []"),
        ("default.toml", "maintenance.anomaly_rules = \"mine.toml\""),
    ]);
    assert_eq!(rules(dir.under([url])).0, Some("mine.toml".into()));
    assert_eq!(rules(Dir::with([]).under([url])).0, None);
}

#[test]
fn each_source_replaces_the_one_before() {
    let dir = Dir::with([
        (
            "default.toml",
            "server.port = 1\nserver.workers = 1\ndatabase.pool_size = 1\nstreams.buffer = 1",
        ),
        (
            "test.toml",
            "server.port = 2\nserver.workers = 2\ndatabase.pool_size = 2",
        ),
        (
            ".env",
            "SOVD__SERVER__PORT=3\nSOVD__SERVER__WORKERS=3\nJWT_SECRET=x",
        ),
    ]);
    let mut sources = dir.under([
        ("SOVD_ENVIRONMENT", "test"),
        ("SOVD__SERVER__PORT", "4"),
        ("DATABASE_URL", DATABASE),
    ]);
    let from_variable = load(sources.clone());
    sources
        .overrides
        .insert("server.port".to_owned(), "5".to_owned());
    let overridden = load(sources);

    assert_eq!(overridden.settings.server.port, 5);
    assert_eq!(overridden.origins.of("server.port"), Some("override"));
    let settings = from_variable.settings;
    assert_eq!(settings.server.port, 4);
    assert_eq!(settings.server.workers, 3);
    assert_eq!(settings.database.pool_size, 2);
    assert_eq!(settings.streams.buffer, 1);
    assert_eq!(settings.database.pool_overflow, 10);
    for (key, origin) in [
        ("server.port", "environment SOVD__SERVER__PORT".to_owned()),
        (
            "server.workers",
            format!("{} SOVD__SERVER__WORKERS", dir.path(".env")),
        ),
        ("database.pool_size", dir.path("test.toml")),
        ("streams.buffer", dir.path("default.toml")),
        ("database.pool_overflow", "built-in default".to_owned()),
    ] {
        assert_eq!(
            from_variable.origins.of(key),
            Some(origin.as_str()),
            "{key}"
        );
    }
}

#[test]
fn a_file_of_the_environment_replaces_its_built_in_copy() {
    let dir = Dir::with([("development.toml", "auth.jwt_secret = \"x\"")]);

    let loaded = load(dir.under([("DATABASE_URL", DATABASE)]));

    assert_eq!(loaded.settings.log.format, LogFormat::Json);
}

#[test]
fn a_directory_that_is_absent_is_none() {
    let mut sources = env([("DATABASE_URL", DATABASE)]);
    sources.config_dir = Some("does/not/exist".into());
    sources.dotenv = Some("does/not/exist/.env".into());

    load(sources);
}

#[test]
fn the_environment_may_be_chosen_in_the_dotenv_file() {
    let dir = Dir::with([
        (".env", "SOVD_ENVIRONMENT=test\nJWT_SECRET=x"),
        ("test.toml", "server.port = 0"),
    ]);

    let loaded = load(dir.under([("DATABASE_URL", DATABASE)]));

    assert_eq!(loaded.settings.environment, Environment::Test);
    assert_eq!(loaded.settings.server.port, 0);
}

#[test]
fn a_file_cannot_choose_the_environment() {
    let dir = Dir::with([("default.toml", "environment = \"test\"")]);

    let error = error(dir.under([("DATABASE_URL", DATABASE)]));

    assert_contains(
        &error,
        &format!("environment (from {})", dir.path("default.toml")),
    );
}

#[test]
fn an_unknown_key_is_an_error_in_every_section() {
    let dir = Dir::with([(
        "development.toml",
        "top = 1\n[server]\nprot = 1\n[connector.mock]\ndelay = 1\n[server.port]\nx = 1",
    )]);

    let error = error(dir.under([("DATABASE_URL", DATABASE)]));

    let file = dir.path("development.toml");
    assert_contains(&error, &format!("top (from {file}) is not a setting"));
    assert_contains(
        &error,
        &format!("server.prot (from {file}) is not a setting"),
    );
    assert_contains(
        &error,
        &format!("connector.mock.delay (from {file}) is not a setting"),
    );
    assert_contains(
        &error,
        &format!("server.port = a table (from {file}): expected a whole"),
    );
}

#[test]
fn a_value_cannot_stand_for_a_section() {
    let dir = Dir::with([("development.toml", "auth = 1")]);

    let error = error(dir.under([("DATABASE_URL", DATABASE)]));

    let expected = format!(
        "auth (from {}): expected a section",
        dir.path("development.toml")
    );
    assert_contains(&error, &expected);
    assert!(!error.contains("JWT_SECRET"), "{error}");
}

#[test]
fn a_file_with_bad_syntax_is_named_with_its_line() {
    let dir = Dir::with([
        ("default.toml", "[server]\nport = = 1"),
        ("development.toml", "[server]\nport = 99999999999999999999"),
        (".env", "A=1\n\nB C=2\n"),
    ]);

    let error = error(dir.under([]));

    assert_contains(
        &error,
        &format!("{} line 2: not valid TOML", dir.path("default.toml")),
    );
    assert_contains(
        &error,
        &format!("{}: not valid TOML: a number", dir.path("development.toml")),
    );
    assert_contains(
        &error,
        &format!("{} line 3: expected NAME=value", dir.path(".env")),
    );
    assert!(!error.contains("is not set"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let dir = Dir::with([]);
    std::fs::create_dir(dir.path("default.toml")).unwrap();
    std::fs::create_dir(dir.path(".env")).unwrap();

    let error = error(dir.under([("DATABASE_URL", DATABASE)]));

    assert_contains(
        &error,
        &format!("{} cannot be read", dir.path("default.toml")),
    );
    assert_contains(&error, &format!("{} cannot be read", dir.path(".env")));
}

#[test]
fn a_byte_order_mark_does_not_hide_the_first_variable() {
    let dir = Dir::with([(
        ".env",
        "\u{feff}SOVD__SERVER__PORT=1\r\nLOG_LEVEL='warn'\r\n",
    )]);

    let settings = load(dir.under([("DATABASE_URL", DATABASE)])).settings;

    assert_eq!(settings.server.port, 1);
    assert_eq!(settings.log.level, "warn");
}
