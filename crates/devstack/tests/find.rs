//! What a developer reads when a server is missing or too old.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod script;

use std::fs;
use std::path::{Path, PathBuf};

use sovd_devstack::{SearchPath, StackError, Version};

use script::write_script;

/// A new empty directory; every test has its own.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Programs that do nothing but report this version.
fn postgres(name: &str, version: &str) -> PathBuf {
    let directory = directory(name);
    for program in ["postgres", "initdb"] {
        let path = directory.join(program);
        write_script(&path, &format!("echo '{program} (PostgreSQL) {version}'"));
    }
    directory
}

#[test]
fn a_missing_server_comes_with_the_line_that_installs_it() {
    let nowhere = SearchPath::new(vec![directory("empty")]);
    let postgres = nowhere.postgres().unwrap_err().to_string();
    let redis = nowhere.redis().unwrap_err().to_string();
    assert!(
        postgres.starts_with("PostgreSQL is not installed"),
        "{postgres}"
    );
    assert!(redis.starts_with("Redis is not installed"), "{redis}");
    for message in [postgres, redis] {
        assert!(message.contains("`cargo devstack install`"), "{message}");
        assert!(
            message.contains("apt-get update && apt-get install -y postgresql redis-server")
                || message.contains("brew install postgresql@17 redis"),
            "{message}"
        );
    }
}

#[test]
fn an_old_postgres_is_named_with_its_version() {
    let old = SearchPath::new(vec![postgres("old", "13.4 (Debian 13.4-1)")]);
    let error = old.postgres().unwrap_err();
    assert!(matches!(error, StackError::TooOld { .. }));
    assert!(
        error.to_string().starts_with("PostgreSQL 13.4 in "),
        "{error}"
    );
}

#[test]
fn the_newest_postgres_wins() {
    let directories = ["9.6.24", "15.9", "15.18", "18beta1", "17.2"]
        .map(|version| postgres(&format!("postgres-{version}"), version));
    let found = SearchPath::new(directories.to_vec()).postgres().unwrap();
    assert_eq!(found.version.to_string(), "18beta1");
    assert!(found.version.major >= Version::OLDEST_POSTGRES);
}
