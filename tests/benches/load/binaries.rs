use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::arguments::Arguments;

/// The programs of one build.
pub(crate) struct Binaries {
    pub(crate) server: PathBuf,
    pub(crate) migrate: PathBuf,
}

impl Binaries {
    /// Returns the builds to measure: those that the arguments name, or a release build of this source
    /// tree. That build is separate from the benchmark's because a test package enables features that a
    /// release does not have.
    pub(crate) fn of(arguments: &Arguments) -> Vec<Self> {
        if arguments.server.is_empty() {
            return vec![build()];
        }
        let servers = arguments.server.iter().enumerate();
        let binaries = servers.map(|(index, server)| Self {
            migrate: match arguments.migrate.get(index) {
                Some(migrate) => migrate.clone(),
                None => beside(server),
            },
            server: server.clone(),
        });
        binaries.collect()
    }
}

fn build() -> Binaries {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| workspace.join("target"), |target| workspace.join(target));
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "-p",
            "sovd-api-server",
            "-p",
            "sovd-migrate",
        ])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(workspace)
        .status()
        .unwrap();
    assert!(status.success(), "the server does not compile");
    Binaries {
        server: target.join("release/api-server"),
        migrate: target.join("release/migrate"),
    }
}

/// Returns the migration binary in the directory of a server. Older builds have a prefix in both names.
fn beside(server: &Path) -> PathBuf {
    let names = ["migrate", "sovd-migrate"];
    let mut paths = names.iter().map(|name| server.with_file_name(name));
    paths
        .find(|path| path.exists())
        .expect("no migration binary beside the server; name it with --migrate")
}
