use std::fs;

use sovd_settings::{DeploymentEnvironment, LogFormat};

use crate::setup::{Dir, assert_contains, effective, error, load, with};

#[test]
fn the_built_in_files_suffice() {
    let loaded = load(with([]));

    let settings = &loaded.settings;
    assert_eq!(settings.environment, DeploymentEnvironment::Development);
    assert_eq!(settings.server.host, "127.0.0.1");
    assert_eq!(settings.server.port, 8080);
    assert_eq!(settings.database.pool_size, 20);
    assert_eq!(settings.auth.leeway().as_secs(), 5);
    assert_eq!(settings.log.format, LogFormat::Pretty);
    assert!(settings.redis.url.is_none());
    for (key, expected) in [
        ("server.port", ("8080", "built-in default")),
        ("environment", ("\"development\"", "built-in default")),
        ("log.format", ("\"pretty\"", "built-in development.toml")),
        ("redis.url", ("none", "built-in default")),
    ] {
        assert_eq!(effective(&loaded, key), expected, "{key}");
    }
}

#[test]
fn a_later_source_overrides_an_earlier_one() {
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
    let mut sources =
        dir.with_variables([("SOVD_ENVIRONMENT", "test"), ("SOVD__SERVER__PORT", "4")]);
    let loaded = load(sources.clone());
    let key = "server.port".to_owned();
    sources.overrides.insert(key, "5".to_owned());
    let overridden = load(sources);

    assert_eq!(overridden.settings.server.port, 5);
    assert_eq!(effective(&overridden, "server.port"), ("5", "override"));
    assert_eq!(loaded.settings.server.port, 4);
    assert_eq!(loaded.settings.server.workers, 3);
    assert_eq!(loaded.settings.database.pool_size, 2);
    assert_eq!(loaded.settings.streams.buffer, 1);
    assert_eq!(loaded.settings.database.pool_overflow, 10);
    for (key, value, origin) in [
        ("server.port", "4", "environment SOVD__SERVER__PORT"),
        (
            "server.workers",
            "3",
            &format!("{} SOVD__SERVER__WORKERS", dir.path(".env")),
        ),
        ("database.pool_size", "2", &dir.path("test.toml")),
        ("streams.buffer", "1", &dir.path("default.toml")),
        ("database.pool_overflow", "10", "built-in default"),
    ] {
        assert_eq!(effective(&loaded, key), (value, origin), "{key}");
    }
}

#[test]
fn a_file_of_the_environment_replaces_the_built_in_one() {
    let dir = Dir::with([("development.toml", "auth.jwt_secret = \"x\"")]);

    let loaded = load(dir.sources());

    assert_eq!(loaded.settings.log.format, LogFormat::Json);
}

#[test]
fn the_configuration_directory_and_dotenv_may_be_absent() {
    let mut sources = with([]);
    sources.config_dir = Some("does/not/exist".into());
    sources.dotenv = Some("does/not/exist/.env".into());

    load(sources);
}

#[test]
fn anomaly_rules_in_the_directory_apply_unless_a_key_selects_a_file() {
    let rules = |sources| load(sources).settings.maintenance.anomaly_rules;
    let file = ("anomaly_rules.toml", "rule = []");
    let default = (
        "default.toml",
        "maintenance.anomaly_rules = \"default.rules\"",
    );
    let variable = "SOVD__MAINTENANCE__ANOMALY_RULES";
    let (empty, with_file, with_default) =
        (Dir::with([]), Dir::with([file]), Dir::with([file, default]));
    for (sources, expected) in [
        (empty.sources(), None),
        (
            with_file.sources(),
            Some(with_file.path("anomaly_rules.toml")),
        ),
        (with_default.sources(), Some("default.rules".to_owned())),
        (
            with_default.with_variables([(variable, "variable.rules")]),
            Some("variable.rules".to_owned()),
        ),
        (with_file.with_variables([(variable, "")]), None),
        (with_default.with_variables([(variable, "")]), None),
        (with([(variable, "/rules")]), Some("/rules".to_owned())),
    ] {
        assert_eq!(rules(sources), expected.map(Into::into));
    }
    let loaded = load(with_file.sources());
    let (_, origin) = effective(&loaded, "maintenance.anomaly_rules");
    assert_eq!(origin, with_file.path("anomaly_rules.toml"));
}

#[test]
fn dotenv_may_select_the_environment() {
    let dir = Dir::with([
        (".env", "SOVD_ENVIRONMENT=test\nJWT_SECRET=x"),
        ("test.toml", "server.port = 0"),
    ]);

    let settings = load(dir.sources()).settings;

    assert_eq!(settings.environment, DeploymentEnvironment::Test);
    assert_eq!(settings.server.port, 0);
}

#[test]
fn rejects_an_environment_in_a_file() {
    let dir = Dir::with([("default.toml", "environment = \"test\"")]);

    assert_contains(
        &error(dir.sources()),
        &format!(
            "environment (from {}) cannot be set in a file: set SOVD_ENVIRONMENT",
            dir.path("default.toml")
        ),
    );
}

#[test]
fn rejects_unknown_keys_in_every_section() {
    let dir = Dir::with([(
        "development.toml",
        "top = 1\n[server]\nprot = 1\n[connector.mock]\ndelay = 1\n[server.port]\nx = 1",
    )]);

    let error = error(dir.sources());

    let file = dir.path("development.toml");
    for key in ["top", "server.prot", "connector.mock.delay"] {
        assert_contains(&error, &format!("{key} (from {file}) is not a setting"));
    }
    assert_contains(
        &error,
        &format!("server.port = a table (from {file}): expected a whole"),
    );
}

#[test]
fn rejects_a_value_in_place_of_a_section() {
    let dir = Dir::with([("development.toml", "auth = 1")]);

    let error = error(dir.sources());

    let file = dir.path("development.toml");
    assert_contains(
        &error,
        &format!("auth (from {file}): expected a section, not a value"),
    );
    assert!(!error.contains("JWT_SECRET"), "{error}");
}

#[test]
fn a_syntax_error_names_file_and_line() {
    let dir = Dir::with([
        ("default.toml", "[server]\nport = = 1"),
        ("development.toml", "[server]\nport = 99999999999999999999"),
        (".env", "A=1\n\nB C=2\n"),
    ]);
    let mut sources = dir.sources();
    sources.env.clear();

    let error = error(sources);

    for (file, expected) in [
        ("default.toml", " line 2: not valid TOML"),
        ("development.toml", ": not valid TOML: a number"),
        (".env", " line 3: expected NAME=value"),
    ] {
        assert_contains(&error, &format!("{}{expected}", dir.path(file)));
    }
    assert!(!error.contains("is not set"), "{error}");
}

#[test]
fn rejects_files_that_cannot_be_read() {
    let dir = Dir::with([]);
    for name in ["default.toml", ".env"] {
        fs::create_dir(dir.path(name)).unwrap();
    }

    let error = error(dir.sources());

    for name in ["default.toml", ".env"] {
        assert_contains(&error, &format!("{} cannot be read", dir.path(name)));
    }
}

#[test]
fn dotenv_may_begin_with_a_byte_order_mark() {
    let dir = Dir::with([(
        ".env",
        "\u{feff}SOVD__SERVER__PORT=1\r\nLOG_LEVEL='warn'\r\n",
    )]);

    let settings = load(dir.sources()).settings;

    assert_eq!(settings.server.port, 1);
    assert_eq!(settings.log.level, "warn");
}
