//! Servers that exit during startup. A script that fails first takes the place of Redis.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod script;

use std::env;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sovd_devstack::{Redis, SearchPath, StackError};

use script::write_script;

/// A directory with a `redis-server` that runs `script`. It is in the temporary directory and
/// accessible to all users, because the servers of root run as another user.
struct FakeRedis(PathBuf);

impl FakeRedis {
    fn new(name: &str, script: &str) -> Self {
        let directory = env::temp_dir().join(format!("devstack-{name}-{}", process::id()));
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
        write_script(&directory.join("redis-server"), script);
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
fn an_exit_during_startup_reports_the_end_of_the_log() {
    let fake = FakeRedis::new(
        "broken",
        "echo warming up; echo 'out of memory' >&2; exit 1",
    );
    let error = fake.start().unwrap_err();
    assert!(matches!(error, StackError::Exited { .. }), "{error}");
    assert!(
        error.to_string().ends_with("warming up | out of memory"),
        "{error}"
    );
}

/// A script that names its port, waits until a [`PortThief`] has bound it, and exits.
const LOSE_PORT: &str = r#"
    cd "${0%/*}"
    rm -f taken
    while [ "$1" != --port ]; do shift; done
    echo "$2" > wanted.new
    mv wanted.new wanted
    until [ -e taken ]; do sleep 0.01; done
    exit 1"#;

/// Binds every port that a script in the directory names, until it is dropped.
struct PortThief {
    is_over: Arc<AtomicBool>,
    binding: Option<JoinHandle<()>>,
}

impl PortThief {
    fn start(fake: &FakeRedis) -> Self {
        let (wanted, taken) = (fake.0.join("wanted"), fake.0.join("taken"));
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let binding = thread::spawn(move || {
            let mut bound = Vec::new();
            while !ends.load(Ordering::Relaxed) {
                if let Ok(port) = fs::read_to_string(&wanted) {
                    let port: u16 = port.trim().parse().unwrap();
                    bound.push(TcpListener::bind(("127.0.0.1", port)).unwrap());
                    fs::rename(&wanted, &taken).unwrap();
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self {
            is_over,
            binding: Some(binding),
        }
    }
}

impl Drop for PortThief {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.binding.take().unwrap().join().unwrap();
    }
}

#[test]
fn chooses_another_port_if_the_first_is_taken() {
    let script = format!(
        r#"mkdir "${{0%/*}}/tried" && {{ {LOSE_PORT}; }}
exec '{}' "$@""#,
        SearchPath::system().redis().unwrap().display()
    );
    let fake = FakeRedis::new("late", &script);
    let thief = PortThief::start(&fake);
    let redis = fake.start().unwrap();
    drop(thief);
    redis.stop().unwrap();
    redis.start_again().unwrap();
}

#[test]
fn fails_if_every_port_is_taken() {
    let fake = FakeRedis::new("unlucky", LOSE_PORT);
    let _thief = PortThief::start(&fake);
    let outcome = fake.start();
    assert!(matches!(outcome, Err(StackError::PortTaken { .. })));
}
