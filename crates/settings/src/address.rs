use std::net::IpAddr;

use ipnet::IpNet;
use url::Url;

use crate::postgres_url::PostgresUrl;
use crate::secret_url;

pub(crate) fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits is a mistyped address: no top-level domain looks like that.
    let ends_in_number = text
        .rsplit('.')
        .next()
        .is_some_and(|label| label.chars().all(|c| c.is_ascii_digit()));
    text.parse::<IpAddr>().is_ok()
        || (text.len() <= 253 && text.split('.').all(is_label) && !ends_in_number)
}

pub(crate) fn is_postgres_url(text: &str) -> bool {
    PostgresUrl::parse(text).is_some()
}

pub(crate) fn is_redis_url(text: &str) -> bool {
    url_with_scheme(text, &["redis", "rediss"]).is_some_and(|url| has_host(&url))
}

/// Whether the host of a URL is this machine: nothing that is sent to it leaves the machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

pub(crate) fn is_origin(text: &str) -> bool {
    // A browser sends the serialised origin, so any other spelling would never match.
    text == "*"
        || Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
        })
}

/// An address, or a network. What lies past the prefix must be zero, or it is a slip; and whoever
/// trusts all addresses has not thought of the clients.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let network: IpNet = text.parse().ok()?;
    // Peers are compared by their IPv4 address, which such a network would never contain.
    let is_mapped = matches!(network, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some());
    (network == network.trunc() && network.prefix_len() > 0 && !is_mapped).then_some(network)
}

fn url_with_scheme(text: &str, schemes: &[&str]) -> Option<Url> {
    // What cannot be masked has an unescaped character in its password and would be read as
    // another host.
    secret_url::masked(text)?;
    Url::parse(text)
        .ok()
        .filter(|url| schemes.contains(&url.scheme()))
}

fn has_host(url: &Url) -> bool {
    url.host_str().is_some_and(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_sorts(test: impl Fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(test(text), "{text} should be accepted");
        }
        for text in bad {
            assert!(!test(text), "{text} should be refused");
        }
    }

    #[test]
    fn hosts() {
        let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
        assert_sorts(
            is_host,
            &[
                "127.0.0.1",
                "::1",
                "0.0.0.0",
                "localhost",
                "api.example.com",
                &longest,
            ],
            &[
                "",
                "-a",
                "a-",
                "a..b",
                "a_b",
                "256.1.1.1",
                "[::1]",
                "a:80",
                &too_long,
            ],
        );
        let name = format!("{}.{longest}.{longest}.{}", longest, "a".repeat(61));
        assert_eq!(name.len(), 253);
        assert_sorts(is_host, &[&name], &[&format!("{name}a")]);
    }

    #[test]
    fn postgres_urls() {
        assert_sorts(
            is_postgres_url,
            &[
                "postgres://localhost",
                "postgresql://u:p@db:5432/sovd?sslmode=require",
                "postgres:///sovd?host=/var/run/postgresql",
            ],
            &[
                "",
                "localhost",
                "postgres:///sovd",
                "mysql://u:p@db/sovd",
                "postgres://u:a/b@db/x",
            ],
        );
    }

    #[test]
    fn networks() {
        assert_sorts(
            |text| network(text).is_some(),
            &[
                "127.0.0.1",
                "::1",
                "10.0.0.0/8",
                "128.0.0.0/1",
                "192.0.2.7/32",
                "8000::/1",
            ],
            &[
                "",
                "0.0.0.0/0",
                "::/0",
                "10.0.0.0/33",
                "10.0.0.1/8",
                "10.0.0/8",
                "::ffff:10.0.0.0/104",
                "fe80::1%eth0",
            ],
        );
        let mapped = network("::ffff:10.0.0.1").unwrap();
        assert_eq!(mapped.to_string(), "10.0.0.1/32");
    }

    #[test]
    fn loopback_hosts() {
        assert_sorts(
            is_loopback,
            &[
                "localhost",
                "LOCALHOST",
                "127.0.0.1",
                "127.255.255.254",
                "[::1]",
                "[::ffff:127.0.0.1]",
            ],
            &[
                "",
                "redis",
                "10.0.0.1",
                "126.255.255.255",
                "128.0.0.1",
                "[::2]",
                "0.0.0.0",
                "localhost.example.com",
                "127.0.0.1.example.com",
            ],
        );
    }

    #[test]
    fn redis_urls() {
        assert_sorts(
            is_redis_url,
            &["redis://localhost", "rediss://:p@cache:6380/1"],
            &[
                "",
                "localhost:6379",
                "redis://",
                "http://cache",
                "redis:///0",
            ],
        );
    }
}
