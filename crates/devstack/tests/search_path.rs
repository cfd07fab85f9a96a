//! Finding servers, and the errors if they are missing or too old.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod script;

use std::fs;
use std::path::{Path, PathBuf};

use sovd_devstack::{SearchPath, StackError};

use script::write_script;

/// Creates an empty directory for one test.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Creates a directory with programs that only report this version.
fn postgres(name: &str, version: &str) -> PathBuf {
    let directory = directory(name);
    for program in ["postgres", "initdb"] {
        let path = directory.join(program);
        write_script(&path, &format!("echo '{program} (PostgreSQL) {version}'"));
    }
    directory
}

#[test]
fn a_missing_server_is_reported_with_the_command_that_installs_it() {
    let search_path = SearchPath::new(vec![directory("empty")]);
    let postgres = search_path.postgres().unwrap_err().to_string();
    let redis = search_path.redis().unwrap_err().to_string();
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
fn an_outdated_postgres_is_reported_with_its_version() {
    for (version, number) in [("13.4 (Debian 13.4-1)", "13.4"), ("14.19", "14.19")] {
        let old = SearchPath::new(vec![postgres(&format!("old-{number}"), version)]);
        let error = old.postgres().unwrap_err();
        assert!(matches!(error, StackError::TooOld { .. }));
        let beginning = format!("PostgreSQL {number} in ");
        assert!(error.to_string().starts_with(&beginning), "{error}");
    }
    let oldest = SearchPath::new(vec![postgres("oldest", "15.0")]);
    assert_eq!(oldest.postgres().unwrap().name, "15.0");
}

#[test]
fn finds_the_newest_postgres() {
    let directories = ["9.6.24", "15.9", "15.18", "18beta1", "17.2"]
        .map(|version| postgres(&format!("postgres-{version}"), version));
    let found = SearchPath::new(directories.to_vec()).postgres().unwrap();
    assert_eq!(found.name, "18beta1");
}
