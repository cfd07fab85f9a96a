use std::path::Path;

use sovd_settings::{ExposeSecret, JwtAlgorithm};

use crate::setup::{DATABASE, Dir, assert_contains, env, error, load};

#[test]
fn every_customary_name_reaches_its_key() {
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
    assert_eq!(
        settings.auth.jwt_secret.unwrap().expose_secret(),
        "signing key"
    );
    assert_eq!(settings.auth.jwt_algorithm, JwtAlgorithm::Hs512);
    assert_eq!(settings.auth.jwt_expiration_minutes, 5);
    assert_eq!(settings.log.level, "debug");
    assert_eq!(
        settings.server.cors_origins,
        ["http://localhost:1", "http://localhost:2"]
    );
}

#[test]
fn trusted_proxies_are_addresses_and_networks() {
    let with = |proxies| env([("DATABASE_URL", DATABASE), ("TRUSTED_PROXIES", proxies)]);
    let shown = |proxies| -> Vec<String> {
        let networks = load(with(proxies)).settings.server.trusted_networks();
        networks.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        shown("192.0.2.7, 10.0.0.0/8,::1"),
        ["192.0.2.7/32", "10.0.0.0/8", "::1/128"]
    );
    assert!(shown("").is_empty());
    assert_contains(
        &error(with("10.0.0.0/8,0.0.0.0/0")),
        "server.trusted_proxies = \"10.0.0.0/8,0.0.0.0/0\" (from environment TRUSTED_PROXIES): \
         expected IP addresses, or networks",
    );
}

#[test]
fn the_full_name_beats_the_customary_one_in_one_place() {
    let loaded = load(env([
        ("DATABASE_URL", DATABASE),
        ("LOG_LEVEL", "warn"),
        ("SOVD__LOG__LEVEL", "error"),
    ]));

    assert_eq!(loaded.settings.log.level, "error");
    assert_eq!(
        loaded.origins.of("log.level"),
        Some("environment SOVD__LOG__LEVEL")
    );
}

#[test]
fn a_customary_name_of_the_environment_beats_a_full_one_of_the_dotenv_file() {
    let dir = Dir::with([(".env", "SOVD__LOG__LEVEL=error")]);

    let loaded = load(dir.under([("DATABASE_URL", DATABASE), ("LOG_LEVEL", "warn")]));

    assert_eq!(loaded.settings.log.level, "warn");
}

#[test]
fn a_file_variable_names_the_file_of_the_value() {
    let dir = Dir::with([("url", &format!("{DATABASE}\n")), ("port", "1\r\n")]);
    let (url, port) = (dir.path("url"), dir.path("port"));

    let loaded = load(env([
        ("DATABASE_URL_FILE", &url),
        ("SOVD__SERVER__PORT_FILE", &port),
    ]));

    assert_eq!(loaded.settings.database.url.expose(), DATABASE);
    assert_eq!(loaded.settings.server.port, 1);
    let origin = format!("file {url} named by DATABASE_URL_FILE");
    assert_eq!(loaded.origins.of("database.url"), Some(origin.as_str()));
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_its_variable() {
    let error = error(env([("DATABASE_URL_FILE", "/does/not/exist")]));

    assert_contains(
        &error,
        "DATABASE_URL_FILE (from environment) names /does/not/exist, which",
    );
    assert!(!error.contains("is not set"), "{error}");
}

#[test]
fn a_value_given_twice_in_one_place_is_an_error() {
    let error = error(env([
        ("DATABASE_URL", DATABASE),
        ("DATABASE_URL_FILE", "/any"),
    ]));

    assert_contains(
        &error,
        "DATABASE_URL and DATABASE_URL_FILE (from environment) are both set",
    );
    assert!(!error.contains("is not set"), "{error}");
}

#[test]
fn an_empty_file_variable_is_absent() {
    load(env([("DATABASE_URL", DATABASE), ("DATABASE_URL_FILE", "")]));
}

#[test]
fn an_empty_variable_clears_what_is_optional_and_nothing_else() {
    let settings = load(env([
        ("DATABASE_URL", DATABASE),
        ("REDIS_URL", ""),
        ("CORS_ORIGINS", ""),
    ]))
    .settings;
    assert!(settings.redis.url.is_none());
    assert!(settings.server.cors_origins.is_empty());

    let error = error(env([("DATABASE_URL", DATABASE), ("JWT_SECRET", "")]));
    assert_contains(
        &error,
        "auth.jwt_secret = *** (from environment JWT_SECRET): expected a text",
    );
}

#[test]
fn the_mock_takes_command_names_and_a_journal() {
    let settings = load(env([
        ("DATABASE_URL", DATABASE),
        ("SOVD__CONNECTOR__MOCK__ONLY", "ClearDTC, ReadDataByID"),
        ("SOVD__CONNECTOR__MOCK__JOURNAL", "/tmp/journal.jsonl"),
    ]))
    .settings;
    let mock = settings.connector.mock;
    assert_eq!(mock.only, ["ClearDTC", "ReadDataByID"]);
    assert_eq!(mock.journal.unwrap(), Path::new("/tmp/journal.jsonl"));

    let dir = Dir::with([(
        "default.toml",
        "[connector.mock]\nonly = [\"ReadDTC\"]\njournal = \"a\"",
    )]);
    let mock = load(dir.under([("DATABASE_URL", DATABASE)]))
        .settings
        .connector
        .mock;
    assert_eq!(mock.only, ["ReadDTC"]);
    assert_eq!(mock.journal.unwrap(), Path::new("a"));

    let mock = load(dir.under([
        ("DATABASE_URL", DATABASE),
        ("SOVD__CONNECTOR__MOCK__ONLY", ""),
        ("SOVD__CONNECTOR__MOCK__JOURNAL", ""),
    ]))
    .settings
    .connector
    .mock;
    assert!(mock.only.is_empty());
    assert!(mock.journal.is_none());
}

#[test]
fn anomalies_go_by_the_program_s_own_rules_unless_a_file_is_named() {
    let named = "SOVD__MAINTENANCE__ANOMALY_RULES";
    let rules = |sources| load(sources).settings.maintenance.anomaly_rules;
    let plain = [("DATABASE_URL", DATABASE)];
    assert_eq!(rules(env(plain)), None);
    let file = rules(env([plain[0], (named, "/etc/sovd/rules.toml")]));
    assert_eq!(file.unwrap(), Path::new("/etc/sovd/rules.toml"));
    let dir = Dir::with([("default.toml", "maintenance.anomaly_rules = \"a\"")]);
    assert_eq!(rules(dir.under(plain)).unwrap(), Path::new("a"));
    assert_eq!(rules(dir.under([plain[0], (named, "")])), None);

    let error = error(env([plain[0], (named, "/etc/sovd/")]));
    assert_contains(
        &error,
        "maintenance.anomaly_rules = \"/etc/sovd/\" (from environment \
         SOVD__MAINTENANCE__ANOMALY_RULES): expected the path of a file",
    );
}

#[test]
fn the_numbers_of_maintenance_have_edges() {
    let with = |name, number: i64| env([("DATABASE_URL", DATABASE), (name, &number.to_string())]);
    let name = "SOVD__MAINTENANCE__INSIGHT_THRESHOLD";
    for threshold in [0, 1_000_000] {
        let maintenance = load(with(name, threshold)).settings.maintenance;
        assert_eq!(i64::from(maintenance.insight_threshold), threshold);
    }
    for threshold in [-1, 1_000_001] {
        assert_contains(
            &error(with(name, threshold)),
            "expected a whole number from 0 to 1000000",
        );
    }
    let name = "SOVD__MAINTENANCE__SLOT_MINUTES";
    for minutes in [1, 1440] {
        let maintenance = load(with(name, minutes)).settings.maintenance;
        assert_eq!(i64::from(maintenance.slot_minutes), minutes);
    }
    for minutes in [0, 1441] {
        assert_contains(
            &error(with(name, minutes)),
            "expected a whole number from 1 to 1440",
        );
    }
}

#[test]
fn rejects_limits_outside_their_ranges() {
    let with = |name: &str, number: i64| {
        let variable = format!("SOVD__{name}");
        env([("DATABASE_URL", DATABASE), (&variable, &number.to_string())])
    };
    for (name, least, most) in [
        ("DISPATCH__WAITING_PER_VEHICLE", 0, 1_000_000),
        ("DISPATCH__WAITING_PER_USER", 0, 1_000_000),
        ("LIMITS__REQUESTS_IN_FLIGHT", 1, 10_000),
        ("LIMITS__LISTS_IN_FLIGHT", 1, 1000),
        ("LIMITS__EXPORTS_PER_USER", 1, 1000),
        ("LIMITS__EXPORTS_IN_FLIGHT", 1, 1000),
    ] {
        for number in [least, most] {
            load(with(name, number));
        }
        for number in [least - 1, most + 1] {
            let expected = format!("expected a whole number from {least} to {most}");
            assert_contains(&error(with(name, number)), &expected);
        }
    }
}

#[test]
fn a_command_name_of_the_mock_has_letters_and_digits_only() {
    let error = error(env([
        ("DATABASE_URL", DATABASE),
        ("SOVD__CONNECTOR__MOCK__ONLY", "ClearDTC,Read DTC"),
    ]));

    assert_contains(
        &error,
        "connector.mock.only = \"ClearDTC,Read DTC\" (from environment \
         SOVD__CONNECTOR__MOCK__ONLY): expected command names of 1 to 100 letters and digits",
    );
}

#[test]
fn what_agents_may_do_is_a_list_or_one_text_with_commas() {
    let with = |allow| env([("DATABASE_URL", DATABASE), ("SOVD__AGENTS__ALLOW", allow)]);
    let agents = load(with("a:commands.submit, b:bookings.book"))
        .settings
        .agents;
    assert_eq!(agents.allow, ["a:commands.submit", "b:bookings.book"]);
    assert!(load(with("")).settings.agents.allow.is_empty());

    let dir = Dir::with([("default.toml", "[agents]\nallow = [\"a:commands.submit\"]")]);
    let agents = load(dir.under([("DATABASE_URL", DATABASE)]))
        .settings
        .agents;
    assert_eq!(agents.allow, ["a:commands.submit"]);

    assert_contains(
        &error(with("a:commands.submit,b")),
        "agents.allow = \"a:commands.submit,b\" (from environment SOVD__AGENTS__ALLOW): expected \
         the name of a service account, a colon and a permission, as \
         fleet-monitor:commands.submit; several",
    );
}

#[test]
fn a_prefixed_variable_that_reaches_nothing_is_an_error() {
    let dir = Dir::with([(".env", "SOVD__LOG=info")]);

    let error = error(dir.under([
        ("DATABASE_URL", DATABASE),
        ("SOVD__SERVER__PROT", "1"),
        ("SOVD__SERVER__PROT_FILE", "/any"),
        ("SOVD_UNRELATED", "1"),
    ]));

    assert_contains(
        &error,
        "SOVD__SERVER__PROT (from environment) is not a setting",
    );
    assert_contains(
        &error,
        "SOVD__SERVER__PROT_FILE (from environment) is not a setting",
    );
    assert_contains(
        &error,
        &format!("SOVD__LOG (from {}) is not a setting", dir.path(".env")),
    );
    assert!(!error.contains("UNRELATED"), "{error}");
}

#[test]
fn an_override_must_name_a_key() {
    let mut sources = env([("DATABASE_URL", DATABASE)]);
    sources
        .overrides
        .insert("server.prot".to_owned(), "1".to_owned());

    assert_contains(
        &error(sources),
        "server.prot (from override) is not a setting",
    );
}
