use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Who may depend on whom among the crates of this workspace. What is not here is forbidden.
const ARROWS: [(&str, &[&str]); 16] = [
    ("domain", &[]),
    ("settings", &[]),
    ("telemetry", &[]),
    ("devstack", &[]),
    ("storage", &["domain"]),
    ("events", &["domain"]),
    ("connector", &["domain"]),
    ("services", &["storage", "events", "connector", "domain"]),
    ("api", &["services", "domain"]),
    (
        "app",
        &[
            "api",
            "services",
            "storage",
            "events",
            "connector",
            "domain",
            "settings",
            "telemetry",
        ],
    ),
    ("api-server", &["app"]),
    ("migrate", &["app"]),
    ("demo", &["app", "devstack"]),
    ("tests", &["app", "devstack"]),
    ("example-custom-connector", &["connector", "domain"]),
    ("example-fleet-report", &["storage", "domain"]),
];

/// Libraries that only one crate may name.
const OWNED: [(&str, &str); 8] = [
    ("diesel", "storage"),
    ("diesel-async", "storage"),
    ("diesel_migrations", "storage"),
    ("actix-web", "api"),
    ("actix-ws", "api"),
    ("actix-cors", "api"),
    ("bb8-redis", "events"),
    ("redis", "events"),
];

/// What a layer without I/O cannot need.
const NO_IO: [&str; 6] = [
    "tokio",
    "diesel",
    "actix-web",
    "redis",
    "reqwest",
    "tokio-postgres",
];

fn packages() -> Vec<Package> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .unwrap();
    metadata.packages
}

fn dependencies(package: &Package, kind: DependencyKind) -> BTreeSet<String> {
    let of_kind = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == kind);
    of_kind.map(|dependency| dependency.name.clone()).collect()
}

fn ours(names: &BTreeSet<String>) -> BTreeSet<&str> {
    names
        .iter()
        .filter_map(|name| name.strip_prefix("sovd-"))
        .collect()
}

#[test]
fn the_arrows_run_one_way() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ARROWS
        .iter()
        .map(|(name, arrows)| (*name, arrows.iter().copied().collect()))
        .collect();
    let packages = packages();
    assert_eq!(
        packages.len(),
        ARROWS.len(),
        "a crate is missing from the table"
    );
    for package in &packages {
        let name = package.name.strip_prefix("sovd-").unwrap();
        let normal = dependencies(package, DependencyKind::Normal);
        let extra: Vec<&str> = ours(&normal).difference(&allowed[name]).copied().collect();
        assert!(extra.is_empty(), "{name} must not depend on {extra:?}");
        let for_tests = dependencies(package, DependencyKind::Development);
        let extra: Vec<&str> = ours(&for_tests)
            .into_iter()
            .filter(|other| {
                *other != "devstack" && *other != name && !allowed[name].contains(other)
            })
            .collect();
        assert!(
            extra.is_empty(),
            "the tests of {name} must not depend on {extra:?}"
        );
    }
}

#[test]
fn each_library_of_the_outside_world_has_one_owner() {
    for package in packages() {
        let name = package.name.strip_prefix("sovd-").unwrap();
        let normal = dependencies(&package, DependencyKind::Normal);
        for (library, owner) in OWNED {
            assert!(
                name == owner || !normal.contains(library),
                "{name} must not name {library}"
            );
        }
    }
}

#[test]
fn the_domain_has_no_io() {
    let packages = packages();
    let domain = packages
        .iter()
        .find(|package| package.name == "sovd-domain")
        .unwrap();
    for library in dependencies(domain, DependencyKind::Normal) {
        assert!(
            !NO_IO.contains(&library.as_str()),
            "domain must not name {library}"
        );
    }
}
