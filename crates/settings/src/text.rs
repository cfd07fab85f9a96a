//! Formats of the texts in settings.

use std::net::IpAddr;

use config::ValueKind;
use ipnet::IpNet;
use regex::Regex;
use url::Url;

use crate::postgres_url::ConnectionUri;
use crate::secret_url;

/// How the value of a setting is shown in errors and listings.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Visibility {
    Shown,
    /// A URL, shown without its password.
    WithoutPassword,
    Hidden,
}

/// A format of texts.
pub(crate) struct Text {
    pub(crate) visibility: Visibility,
    /// Describes the format, to follow "expected".
    pub(crate) expected: &'static str,
    is_valid: fn(&str) -> bool,
}

impl Text {
    pub(crate) fn accepts(&self, value: &ValueKind) -> bool {
        matches!(value, ValueKind::String(text) if (self.is_valid)(text))
    }
}

/// Defines formats: the visibility, the check and the description.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $visibility:ident, $is_valid:expr, $expected:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) const $name: Text = Text {
            visibility: Visibility::$visibility,
            is_valid: $is_valid,
            expected: $expected,
        };
    )*};
}

texts! {
    NAME: Shown, |text| matches(text, "[a-z][a-z0-9_-]{0,63}"),
        "a name of 1 to 64 lower-case letters, digits, - and _, beginning with a letter";
    /// See RFC 1123.
    HOST: Shown, is_host, "an IP address or a host name";
    /// Validated by its consumer.
    SECRET: Hidden, |_| true, "a text";
    PRIVATE_KEY: Hidden, |text| is_pem(text, "PRIVATE KEY"),
        "an Ed25519 private key in PEM, which begins with -----BEGIN PRIVATE KEY-----";
    /// Hidden, as the private key may be in its place by mistake.
    PUBLIC_KEY: Hidden, |text| is_pem(text, "PUBLIC KEY"),
        "an Ed25519 public key in PEM, which begins with -----BEGIN PUBLIC KEY-----";
    POSTGRES_URL: WithoutPassword, |text| ConnectionUri::parse(text).is_some(),
        "postgres://user:password@host:port/database, several hosts separated by commas, with \
         special characters of the password percent-encoded; sslmode disable, prefer, require, \
         verify-ca or verify-full, the last two with sslrootcert; sslcert with sslkey";
    REDIS_URL: WithoutPassword, is_redis_url,
        "redis://host:port or rediss://host:port, with special characters of the password \
         percent-encoded";
    /// An origin (RFC 6454).
    BROWSER_ORIGIN: Shown, is_origin,
        "* or http(s)://host[:port] as browsers send it, without path, final slash or default port";
    NETWORK: Shown, |text| network(text).is_some(),
        "IP addresses, or networks as 10.0.0.0/8 without bits past the prefix, and not all \
         addresses at once";
    COMMAND_NAME: Shown, |text| matches(text, "[a-zA-Z0-9]{1,100}"),
        "command names of 1 to 100 letters and digits";
    /// The consumer knows the permissions.
    AGENT_ACTION: Shown, |text| matches(text, "[a-z0-9][a-z0-9._-]{0,49}:[a-z_.]+"),
        "the name of a service account, a colon and a permission, as fleet-monitor:commands.submit";
    /// Without NUL, which no system accepts in a path, and a final slash, which names a directory.
    FILE_PATH: Shown, |text| matches(text, r"[^\x00]*[^\x00/]"),
        "the path of a file";
    LOG_LEVEL: Shown, is_log_level,
        "off, error, warn, info, debug or trace, or target=level, several separated by commas";
}

fn matches(text: &str, pattern: &str) -> bool {
    Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|pattern| pattern.is_match(text))
}

fn is_host(text: &str) -> bool {
    const LABEL: &str = "[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?";
    let is_label = |label: &str| label.len() <= 63 && matches(label, LABEL);
    // No top-level domain consists of digits: such a name is a mistyped address.
    let ends_in_number = || matches(text.rsplit('.').next().unwrap_or_default(), "[0-9]+");
    text.parse::<IpAddr>().is_ok()
        || (text.len() <= 253 && text.split('.').all(is_label) && !ends_in_number())
}

/// Checks the encapsulation boundaries (RFC 7468) only. The consumer parses the key.
fn is_pem(text: &str, label: &str) -> bool {
    let pattern = format!("-----BEGIN {label}-----(?s:.*)-----END {label}-----");
    matches(text.trim(), &pattern)
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

fn is_log_level(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    text.split(',').all(|directive| {
        let (target, level) = directive.rsplit_once('=').unwrap_or(("any", directive));
        let is_target = !target.is_empty() && !target.contains(char::is_whitespace);
        is_target && LEVELS.contains(&level.to_lowercase().as_str())
    })
}
