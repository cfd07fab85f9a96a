use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// Polls until the condition holds; panics after 20 s.
pub(crate) fn wait_until(condition: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        let elapsed = started.elapsed();
        assert!(elapsed < Duration::from_secs(20), "timeout: {condition}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Returns whether a server listens on this port of 127.0.0.1.
pub(crate) fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
