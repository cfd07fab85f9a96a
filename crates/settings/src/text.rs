//! Formats of the texts in settings.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use crate::SecretUrl;
use crate::kind::{Kind, Text, Visibility};
use crate::postgres_url::ConnectionUri;
use crate::secret_url;

/// Defines kinds of texts: the type of the field, its visibility, the check and its description.
macro_rules! texts {
    ($(
        #[$doc:meta]
        $name:ident, $field:ty, $visibility:ident, $is_valid:expr, $expected:literal;
    )*) => {$(
        #[$doc]
        pub enum $name {}

        impl Kind for $name {
            type Field = $field;
        }

        impl Text for $name {
            const VISIBILITY: Visibility = Visibility::$visibility;
            const EXPECTED: &str = $expected;

            fn is_valid(text: &str) -> bool {
                let is_valid: fn(&str) -> bool = $is_valid;
                is_valid(text)
            }
        }
    )*};
}

texts! {
    /// A name that is part of a key or identifier.
    Name, String, Shown, is_name,
        "a name of 1 to 64 lower-case letters, digits, - and _, beginning with a letter";

    /// An IP address or a host name (RFC 1123).
    HostName, String, Shown, is_host, "an IP address or a host name";

    /// A secret that its consumer validates.
    Secret, SecretString, Hidden, |_| true, "a text";

    /// An Ed25519 private key in PEM (PKCS #8).
    PrivateKey, SecretString, Hidden, |text| is_pem(text, "PRIVATE KEY"),
        "an Ed25519 private key in PEM, which begins with -----BEGIN PRIVATE KEY-----";

    /// An Ed25519 public key in PEM. Hidden, as the private key may be in its place by mistake.
    PublicKey, String, Hidden, |text| is_pem(text, "PUBLIC KEY"),
        "an Ed25519 public key in PEM, which begins with -----BEGIN PUBLIC KEY-----";

    /// The URL of a PostgreSQL database.
    PostgresUrl, SecretUrl, Url, |text| ConnectionUri::parse(text).is_some(),
        "postgres://user:password@host:port/database, several hosts separated by commas, with \
         special characters of the password percent-encoded; sslmode disable, prefer, require, \
         verify-ca or verify-full, the last two with sslrootcert; sslcert with sslkey";

    /// The URL of a Redis server.
    RedisUrl, SecretUrl, Url, is_redis_url,
        "redis://host:port or rediss://host:port, with special characters of the password \
         percent-encoded";

    /// An origin (RFC 6454) as browsers send it, or `*` for any.
    BrowserOrigin, String, Shown, is_origin,
        "* or http(s)://host[:port] as browsers send it, without path, final slash or default port";

    /// An IP address or a network.
    Network, String, Shown, |text| network(text).is_some(),
        "IP addresses, or networks as 10.0.0.0/8 without bits past the prefix, and not all \
         addresses at once";

    /// The name of a command.
    CommandName, String, Shown, is_command_name, "command names of 1 to 100 letters and digits";

    /// A service account and one of its permissions.
    AgentAction, String, Shown, is_agent_action,
        "the name of a service account, a colon and a permission, as fleet-monitor:commands.submit";

    /// The path of a file.
    FilePath, PathBuf, Shown, is_file_path, "the path of a file";

    /// A log level, or directives of a level per target.
    LogLevel, String, Shown, is_log_level,
        "off, error, warn, info, debug or trace, or target=level, several separated by commas";
}

fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_'))
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // No top-level domain consists of digits: such a name is a mistyped address.
    let ends_in_number = text
        .rsplit('.')
        .next()
        .is_some_and(|label| label.chars().all(|c| c.is_ascii_digit()));
    text.parse::<IpAddr>().is_ok()
        || (text.len() <= 253 && text.split('.').all(is_label) && !ends_in_number)
}

/// Checks the encapsulation boundaries (RFC 7468) only. The consumer parses the key.
fn is_pem(text: &str, label: &str) -> bool {
    text.trim()
        .strip_prefix(&format!("-----BEGIN {label}-----"))
        .is_some_and(|rest| rest.ends_with(&format!("-----END {label}-----")))
}

fn is_redis_url(text: &str) -> bool {
    // An unescaped character in the password could move part of it into the host.
    secret_url::masked(text).is_some()
        && Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "redis" | "rediss")
                && url.host_str().is_some_and(|host| !host.is_empty())
        })
}

fn is_origin(text: &str) -> bool {
    // Browsers send the serialized origin. Any other spelling would never match.
    text == "*"
        || Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
        })
}

/// Parses an address or a network. Rejects networks with host bits, and the network of all
/// addresses, which would trust every client.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let network: IpNet = text.parse().ok()?;
    // Peers are compared by their IPv4 address, which a mapped network never contains.
    let is_mapped = matches!(network, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some());
    (network == network.trunc() && network.prefix_len() > 0 && !is_mapped).then_some(network)
}

fn is_command_name(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Checks the format only. The consumer knows the permissions.
fn is_agent_action(text: &str) -> bool {
    text.split_once(':').is_some_and(|(name, permission)| {
        is_account_name(name)
            && !permission.is_empty()
            && permission
                .chars()
                .all(|c| matches!(c, 'a'..='z' | '_' | '.'))
    })
}

fn is_account_name(text: &str) -> bool {
    text.len() <= 50
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .chars()
            .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-'))
}

/// Rejects NUL, which no system accepts in a path, and a final slash, which names a directory.
fn is_file_path(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0') && !text.ends_with('/')
}

fn is_log_level(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    text.split(',').all(|directive| {
        let (target, level) = directive.rsplit_once('=').unwrap_or(("any", directive));
        let is_target = !target.is_empty() && !target.contains(char::is_whitespace);
        is_target && LEVELS.contains(&level.to_lowercase().as_str())
    })
}
