//! What the settings must know of a URL of PostgreSQL, which the driver reads in full.

use std::net::IpAddr;

use url::Url;

use crate::secret_url::{masked, single_host};

const MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];
/// What the driver does without `sslmode`, as libpq.
const DEFAULT_MODE: &str = "prefer";

/// The hosts of a URL and how it wants to reach them.
pub(crate) struct PostgresUrl {
    url: Url,
    hosts: Vec<String>,
}

impl PostgresUrl {
    /// Reads a URL that names a host, and whose parameters of TLS fit together.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // What cannot be masked has an unescaped character in its password and would be read as
        // another host.
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
        let mut url = Self { url, hosts };
        if url.hosts.iter().any(String::is_empty) {
            return None;
        }
        // What the query says comes on top of what the authority says.
        for name in ["host", "hostaddr"] {
            let listed = url.parameter(name);
            let listed = listed.iter().flat_map(|list| list.split(','));
            let listed: Vec<String> = listed.map(str::to_owned).collect();
            url.hosts
                .extend(listed.into_iter().filter(|h| !h.is_empty()));
        }
        (!url.hosts.is_empty() && url.has_sound_tls()).then_some(url)
    }

    /// The password, wherever it is written.
    pub(crate) fn password(&self) -> Option<String> {
        let in_authority = self.url.password().map(str::to_owned);
        in_authority.or_else(|| self.parameter("password"))
    }

    /// Whether a connection to another machine may go on in plaintext.
    pub(crate) fn may_be_plaintext(&self) -> bool {
        let mode = self.mode();
        matches!(mode.as_str(), "disable" | "prefer")
            && !self.hosts.iter().all(|host| is_same_machine(host))
    }

    fn has_sound_tls(&self) -> bool {
        let mode = self.mode();
        let roots = self.parameter("sslrootcert").unwrap_or_default();
        let has = |name| self.parameter(name).is_some_and(|path| !path.is_empty());
        MODES.contains(&mode.as_str())
            && (!mode.starts_with("verify") || !roots.is_empty())
            && (roots != "system" || mode == "verify-full")
            && has("sslcert") == has("sslkey")
    }

    fn mode(&self) -> String {
        let mode = self.parameter("sslmode");
        mode.unwrap_or_else(|| DEFAULT_MODE.to_owned())
    }

    /// The last value counts, as with the driver.
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

/// Loopback, or the directory of a Unix socket.
fn is_same_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.starts_with('/')
        || host.to_lowercase().starts_with("%2f")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_be_plaintext(text: &str) -> bool {
        PostgresUrl::parse(text).unwrap().may_be_plaintext()
    }

    #[test]
    fn accepts_several_hosts_and_modes_of_tls() {
        for text in [
            "postgres://u:p@one:1,two:2/db?target_session_attrs=read-write",
            "postgres://one,[::1]:5433/db",
            "postgres://one/db?sslmode=verify-full&sslrootcert=/ca.pem",
            "postgres://one/db?sslmode=verify-full&sslrootcert=system",
            "postgres://one/db?sslmode=require&sslcert=c.pem&sslkey=k.pem",
            "postgres:///db?host=/run/a,/run/b",
        ] {
            assert!(PostgresUrl::parse(text).is_some(), "{text}");
        }
        for text in [
            "postgres://one,/db",
            "postgres://,/db",
            "postgres://one/db?sslmode=allow",
            "postgres://one/db?sslmode=",
            "postgres://one/db?sslmode=verify-full",
            "postgres://one/db?sslmode=verify-ca&sslrootcert=system",
            "postgres://one/db?sslcert=c.pem",
        ] {
            assert!(PostgresUrl::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn finds_plaintext_to_another_machine() {
        for text in [
            "postgres://db.example/sovd",
            "postgres://db.example/sovd?sslmode=prefer",
            "postgres://db.example/sovd?sslmode=disable",
            "postgres://localhost,db.example/sovd",
            "postgres://localhost/sovd?host=db.example",
            "postgres://localhost/sovd?hostaddr=192.0.2.1",
            "postgres://10.0.0.1/sovd",
        ] {
            assert!(may_be_plaintext(text), "{text}");
        }
        for text in [
            "postgres://db.example/sovd?sslmode=require",
            "postgres://localhost/sovd",
            "postgres://127.0.0.2,[::1]:5433/sovd?sslmode=disable",
            "postgres://[::1]/sovd",
            "postgres:///sovd?host=/run/postgresql",
            "postgres://%2Frun%2Fpostgresql/sovd",
        ] {
            assert!(!may_be_plaintext(text), "{text}");
        }
    }

    #[test]
    fn finds_the_password_of_several_hosts() {
        let password = |text| PostgresUrl::parse(text).unwrap().password();
        assert_eq!(password("postgres://u:p@a,b/db").as_deref(), Some("p"));
        assert_eq!(
            password("postgres://a,b/db?password=q").as_deref(),
            Some("q")
        );
        assert_eq!(password("postgres://u@a,b/db"), None);
    }
}
