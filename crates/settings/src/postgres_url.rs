//! PostgreSQL connection URIs, as far as the rules need them. The driver parses them in full.

use std::net::IpAddr;

use url::Url;

use crate::secret_url::{masked, single_host};

const MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];
/// The mode of libpq and of the driver without `sslmode`.
const DEFAULT_MODE: &str = "prefer";

/// A connection URI that names a host and whose TLS parameters are consistent.
pub(crate) struct ConnectionUri {
    url: Url,
    hosts: Vec<String>,
}

impl ConnectionUri {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // An unescaped character in the password could move part of it into the host.
        masked(text)?;
        let (single, authority) = single_host(text).unzip();
        let url = Url::parse(single.as_deref().unwrap_or(text)).ok()?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return None;
        }
        let hosts = match authority {
            Some(authority) => authority.split(',').map(without_port).collect(),
            None => url.host_str().into_iter().map(str::to_owned).collect(),
        };
        let mut uri = Self { url, hosts };
        if uri.hosts.iter().any(String::is_empty) {
            return None;
        }
        // Hosts in the query add to those in the authority.
        for name in ["host", "hostaddr"] {
            let listed = uri.parameter(name).unwrap_or_default();
            let listed = listed.split(',').filter(|host| !host.is_empty());
            uri.hosts.extend(listed.map(str::to_owned));
        }
        (!uri.hosts.is_empty() && uri.has_consistent_tls()).then_some(uri)
    }

    /// Returns whether a connection to another machine may be plaintext.
    pub(crate) fn may_be_plaintext(&self) -> bool {
        matches!(self.mode().as_str(), "disable" | "prefer")
            && !self.hosts.iter().all(|host| is_same_machine(host))
    }

    fn has_consistent_tls(&self) -> bool {
        let mode = self.mode();
        let roots = self.parameter("sslrootcert").unwrap_or_default();
        let has = |name| self.parameter(name).is_some_and(|path| !path.is_empty());
        MODES.contains(&mode.as_str())
            && (!mode.starts_with("verify") || !roots.is_empty())
            && (roots != "system" || mode == "verify-full")
            && has("sslcert") == has("sslkey")
    }

    fn mode(&self) -> String {
        self.parameter("sslmode")
            .unwrap_or_else(|| DEFAULT_MODE.to_owned())
    }

    /// Returns the last value of a parameter, as the driver does.
    fn parameter(&self, wanted: &str) -> Option<String> {
        let pairs = self.url.query_pairs().filter(|(name, _)| name == wanted);
        pairs.last().map(|(_, value)| value.into_owned())
    }
}

fn without_port(host: &str) -> String {
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next(),
        None => host.split(':').next(),
    };
    host.unwrap_or_default().to_owned()
}

/// Returns whether a host is loopback or the directory of a Unix-domain socket.
fn is_same_machine(host: &str) -> bool {
    host.starts_with('/') || host.to_lowercase().starts_with("%2f") || is_loopback(host)
}

/// Returns whether a host of a URL is loopback.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}
