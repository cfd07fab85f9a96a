//! Servers that end while they start. The real Redis is put behind a script that fails first.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod script;

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process;

use sovd_devstack::{Redis, SearchPath, StackError};

use script::write_script;

/// A directory with a `redis-server` that runs `script` instead of starting. It is in the
/// temporary directory and open to all, because root's servers run as another user.
struct FakeRedis(PathBuf);

impl FakeRedis {
    fn new(name: &str, script: &str) -> Self {
        let directory = env::temp_dir().join(format!("devstack-{name}-{}", process::id()));
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
        let version = r#"[ "$1" = --version ] && { echo 'Redis server v=7.0.0 sha=0'; exit; }"#;
        write_script(
            &directory.join("redis-server"),
            &format!("{version}\n{script}"),
        );
        Self(directory)
    }

    fn start(&self) -> Result<Redis, StackError> {
        Redis::start(&SearchPath::new(vec![self.0.clone()]))
    }
}

impl Drop for FakeRedis {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_error_carries_the_end_of_the_log() {
    let fake = FakeRedis::new(
        "broken",
        "echo warming up; echo 'the moon is wrong' >&2; exit 1",
    );
    let error = fake.start().unwrap_err();
    assert!(matches!(error, StackError::Exited { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("warming up | the moon is wrong"),
        "{error}"
    );
}

#[test]
fn a_lost_port_is_replaced() {
    let real = SearchPath::system().redis().unwrap().redis_server;
    let script = format!(
        r#"mkdir "${{0%/*}}/tried" && {{ echo 'bind: Address already in use'; exit 1; }}
exec '{}' "$@""#,
        real.display()
    );
    let fake = FakeRedis::new("late", &script);
    let redis = fake.start().unwrap();
    redis.stop().unwrap();
    redis.start_again().unwrap();
}

#[test]
fn losing_every_port_is_an_error() {
    let fake = FakeRedis::new("unlucky", "echo 'bind: Address already in use'; exit 1");
    assert!(matches!(fake.start(), Err(StackError::PortTaken { .. })));
}
