use std::{
    fs::{self, File},
    net::SocketAddr,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use sovd_devstack::{Redis, SearchPath};
use tempfile::TempDir;

use crate::binaries::Binaries;

/// Clock ticks per second in `/proc/PID/stat`; 100 on every Linux that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings that differ from the defaults: vehicles answer at once, and limits that a client reaches only
/// because all users of the load share an address and few vehicles are off.
const SETTINGS: [(&str, &str); 10] = [
    ("SOVD__SERVER__PORT", "0"),
    ("SOVD__SERVER__CONNECTIONS_PER_ADDRESS", "0"),
    ("SOVD__LOG__FORMAT", "json"),
    ("SOVD__AUTH__JWT_EXPIRATION_MINUTES", "600"),
    // With the cost of the stored hashes: a login with another one stores a new hash.
    ("SOVD__AUTH__BCRYPT_COST", "4"),
    ("SOVD__CONNECTOR__MOCK__MIN_DELAY_MS", "0"),
    ("SOVD__CONNECTOR__MOCK__MAX_DELAY_MS", "0"),
    ("SOVD__DISPATCH__WAITING_PER_VEHICLE", "0"),
    ("SOVD__DISPATCH__WAITING_PER_USER", "0"),
    ("SOVD__STREAMS__PER_USER", "100000"),
];

/// A server in a separate process with its own Redis, killed when the value is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    _redis: Redis,
    _log: TempDir,
}

impl Server {
    /// Starts a server with additional settings and waits until it listens. Its log goes to a file, because reading it would use
    /// the processor time of the load generator.
    pub(crate) fn start(
        binaries: &Binaries,
        database_url: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let redis = Redis::start(&SearchPath::system()).unwrap();
        let log = tempfile::tempdir().unwrap();
        let path = log.path().join("server.log");
        let child = Command::new(&binaries.server)
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("REDIS_URL", redis.url())
            .envs(SETTINGS)
            .envs(settings.iter().copied())
            .current_dir(log.path())
            .stdout(File::create(&path).unwrap())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let address = loop {
            if let Some(address) = listening_address(&fs::read_to_string(&path).unwrap()) {
                break address;
            }
            assert!(
                started.elapsed() < START_TIMEOUT,
                "the server does not listen"
            );
            thread::sleep(Duration::from_millis(20));
        };
        Self {
            child,
            address,
            _redis: redis,
            _log: log,
        }
    }

    /// Returns the processor time that the process has used.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = self.proc("stat");
        // The name of the program is in parentheses and may contain blanks. User and system time are the
        // 14th and 15th field of the line, the 12th and 13th after the name.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields = fields.split(' ').skip(11).take(2);
        let ticks: f64 = fields.map(|field| field.parse::<f64>().unwrap()).sum();
        Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
    }

    /// Returns the resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u32 {
        let status = self.proc("status");
        let mut lines = status.lines();
        let line = lines.find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn proc(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.child.id());
        fs::read_to_string(path).expect("the server ended")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listening_address(log: &str) -> Option<SocketAddr> {
    let mut lines = log.lines();
    let line = lines.find(|line| line.contains("\"message\":\"listening\""))?;
    let (_, rest) = line.split_once("\"address\":\"")?;
    rest.split('"').next()?.parse().ok()
}
