//! Servers that end while they start. The real Redis is put behind a script that fails first.
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

/// What a script does to lose its port: it names the port, waits until a [`Rival`] has bound it,
/// and ends.
const LOSE_THE_PORT: &str = r#"
    cd "${0%/*}"
    rm -f taken
    while [ "$1" != --port ]; do shift; done
    echo "$2" > wanted.new
    mv wanted.new wanted
    until [ -e taken ]; do sleep 0.01; done
    exit 1"#;

/// Binds every port that a script in the directory names, until it is dropped.
struct Rival {
    is_over: Arc<AtomicBool>,
    binding: Option<JoinHandle<()>>,
}

impl Rival {
    fn of(fake: &FakeRedis) -> Self {
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

impl Drop for Rival {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.binding.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_lost_port_is_replaced() {
    let script = format!(
        r#"mkdir "${{0%/*}}/tried" && {{ {LOSE_THE_PORT}; }}
exec '{}' "$@""#,
        SearchPath::system().redis().unwrap().redis_server.display()
    );
    let fake = FakeRedis::new("late", &script);
    let rival = Rival::of(&fake);
    let redis = fake.start().unwrap();
    drop(rival);
    redis.stop().unwrap();
    redis.start_again().unwrap();
}

#[test]
fn losing_every_port_is_an_error() {
    let fake = FakeRedis::new("unlucky", LOSE_THE_PORT);
    let _rival = Rival::of(&fake);
    let outcome = fake.start();
    assert!(matches!(outcome, Err(StackError::PortTaken { .. })));
}
