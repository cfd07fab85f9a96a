use serde::Deserialize;
use sovd_settings::{
    Database, DeploymentEnvironment, Loaded, SettingsError, Sources, load_sections,
};

use crate::setup::{DATABASE, assert_contains, env, production, with};

#[derive(Debug, Deserialize)]
struct DatabaseSections {
    environment: DeploymentEnvironment,
    database: Database,
}

fn load(sources: Sources) -> Result<Loaded<DatabaseSections>, SettingsError> {
    load_sections(sources, &["environment", "database"])
}

#[track_caller]
fn error(sources: Sources) -> String {
    load(sources).unwrap_err().to_string()
}

#[test]
fn a_section_needs_no_value_of_another_one() {
    let loaded = load(production([
        ("SOVD__DATABASE__POOL_SIZE", "7"),
        ("SOVD__SERVER__PORT", "http"),
        ("JWT_SECRET_FILE", "/does/not/exist"),
    ]))
    .unwrap();

    let settings = &loaded.settings;
    assert_eq!(settings.environment, DeploymentEnvironment::Production);
    assert_eq!(settings.database.url.expose(), DATABASE);
    assert_eq!(settings.database.pool_size, 7);
    let keys = loaded.values.iter().map(|value| value.key);
    assert!(
        keys.clone()
            .all(|key| key == "environment" || key.starts_with("database."))
    );
    assert_eq!(keys.count(), 8);
}

#[test]
fn the_rules_of_a_section_apply_without_the_others() {
    assert_contains(&error(env([])), "database.url is not set: set DATABASE_URL");
    let url = ("DATABASE_URL", "postgres://sovd@db.example/sovd");
    assert_contains(
        &error(production([url])),
        "expected sslmode=verify-full with sslrootcert in production",
    );
}

#[test]
fn unknown_keys_and_environments_remain_errors() {
    for (name, value, expected) in [
        ("SOVD__SERVER__PROT", "1", "is not a setting"),
        ("SOVD_ENVIRONMENT", "prod", "expected one of development, "),
    ] {
        let sources = with([(name, value)]);
        assert_contains(&error(sources), expected);
    }
    let invalid = with([("SOVD_ENVIRONMENT", "prod")]);
    assert!(load_sections::<DatabaseSections>(invalid, &["database"]).is_err());
}

#[test]
fn a_part_of_a_name_selects_no_section() {
    #[derive(Debug, Deserialize)]
    struct Nothing {}

    let loaded = load_sections::<Nothing>(env([]), &["data", "connector.mo"]).unwrap();

    let keys: Vec<&str> = loaded.values.iter().map(|value| value.key).collect();
    assert_eq!(keys, ["environment"]);
}
