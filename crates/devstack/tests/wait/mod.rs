use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// Polls for the event; panics when it has not come after 20 s.
pub(crate) fn until(event: &str, mut has_come: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !has_come() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "waited in vain until {event}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether anybody listens on this port of 127.0.0.1.
pub(crate) fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
