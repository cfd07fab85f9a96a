use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use crate::accepts::Accepts;
use crate::address::network;
use crate::key::Key;

/// The HTTP server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// IP address or host name to listen on.
    pub host: String,
    /// TCP port; 0 lets the system pick a free one.
    pub port: u16,
    /// Worker threads, 0 to 512; 0 is one for each processor core.
    pub workers: usize,
    /// Origins a browser may call from, each `http(s)://host[:port]`; `*` is any.
    pub cors_origins: Vec<String>,
    /// Addresses or networks of the proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<String>,
    /// Seconds that browsers which came by HTTPS come back by nothing else, 0 to 63072000; 0 leaves
    /// it to them.
    pub hsts_seconds: u64,
    /// Connections that one worker serves at a time, 1 to 1000000; more wait.
    pub max_connections: usize,
    /// Connections that one address may have open in one process, 0 to 1000000, `trusted_proxies`
    /// excepted; 0 is no limit. An IPv6 network of 64 bits is one address.
    pub connections_per_address: usize,
    /// Seconds that the head of a request may take to arrive, 1 to 600.
    pub request_head_seconds: u64,
    /// Seconds that a request's body may take to arrive, 1 to 600.
    pub request_body_seconds: u64,
    /// Seconds for which a client may accept nothing of a response, 1 to 600.
    pub response_write_seconds: u64,
    /// Seconds that a connection may wait for its next request, 1 to 3600. Longer than any proxy in front
    /// keeps its connections, or the proxy sends requests into connections that are being closed.
    pub idle_seconds: u64,
    /// Seconds that running requests get to finish at shutdown, 0 to 600.
    pub shutdown_seconds: u64,
    /// Largest request body in bytes, 1024 to 1048575.
    pub body_limit_bytes: usize,
}

impl Server {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("server.host", Accepts::Host),
        Key::new("server.port", Accepts::Whole(0, 65_535)),
        Key::new("server.workers", Accepts::Whole(0, 512)),
        Key::new("server.cors_origins", Accepts::Origins).flat("CORS_ORIGINS"),
        Key::new("server.trusted_proxies", Accepts::Networks).flat("TRUSTED_PROXIES"),
        Key::new("server.hsts_seconds", Accepts::Whole(0, 63_072_000)),
        Key::new("server.max_connections", Accepts::Whole(1, 1_000_000)),
        Key::new(
            "server.connections_per_address",
            Accepts::Whole(0, 1_000_000),
        ),
        Key::new("server.request_head_seconds", Accepts::Whole(1, 600)),
        Key::new("server.request_body_seconds", Accepts::Whole(1, 600)),
        Key::new("server.response_write_seconds", Accepts::Whole(1, 600)),
        Key::new("server.idle_seconds", Accepts::Whole(1, 3600)),
        Key::new("server.shutdown_seconds", Accepts::Whole(0, 600)),
        Key::new("server.body_limit_bytes", Accepts::Whole(1024, 1_048_575)),
    ];

    /// Worker threads to start, with 0 resolved to the number of processor cores.
    #[must_use]
    pub fn worker_threads(&self) -> usize {
        match self.workers {
            0 => thread::available_parallelism().map_or(1, NonZeroUsize::get),
            workers => workers,
        }
    }

    /// The proxies whose `X-Forwarded-For` counts; an address is a network of its own.
    #[must_use]
    pub fn trusted_networks(&self) -> Vec<IpNet> {
        self.trusted_proxies
            .iter()
            .filter_map(|text| network(text))
            .collect()
    }

    /// Time for which browsers that came by HTTPS come back by nothing else; zero leaves it to them.
    #[must_use]
    pub fn https_only(&self) -> Duration {
        Duration::from_secs(self.hsts_seconds)
    }

    /// Time that the head of a request may take to arrive.
    #[must_use]
    pub fn head_timeout(&self) -> Duration {
        Duration::from_secs(self.request_head_seconds)
    }

    /// Time that a request's body may take to arrive.
    #[must_use]
    pub fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.request_body_seconds)
    }

    /// Time for which a client may accept nothing of a response.
    #[must_use]
    pub fn write_timeout(&self) -> Duration {
        Duration::from_secs(self.response_write_seconds)
    }

    /// Time that a connection may wait for its next request.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    /// Time that running requests get to finish at shutdown.
    #[must_use]
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_seconds)
    }
}
