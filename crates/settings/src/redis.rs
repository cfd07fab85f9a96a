use std::path::PathBuf;

use serde::Deserialize;

use crate::SecretUrl;
use crate::accepts::Accepts;
use crate::key::Key;

/// The event bus between processes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://` or `rediss://` address; without one, events stay inside the process.
    pub url: Option<SecretUrl>,
    /// PEM file of the authorities that may have issued the certificate of the server; without one,
    /// those that the operating system trusts.
    pub ca_path: Option<PathBuf>,
    /// PEM file of the certificate chain that this client shows; together with `key_path`.
    pub cert_path: Option<PathBuf>,
    /// PEM file of the private key for `cert_path`.
    pub key_path: Option<PathBuf>,
    /// Whether production accepts `redis://`, which is not encrypted, to another machine.
    pub allow_plaintext: bool,
    /// Prefix of all keys, and of the channels unless it is the default: a lower-case letter, then at
    /// most 63 lower-case letters, digits, `_` and `-`. Processes with the same prefix belong
    /// together.
    pub key_prefix: String,
}

impl Redis {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("redis.url", Accepts::RedisUrl).flat("REDIS_URL"),
        Key::new("redis.ca_path", Accepts::FilePath),
        Key::new("redis.cert_path", Accepts::FilePath),
        Key::new("redis.key_path", Accepts::FilePath),
        Key::new("redis.allow_plaintext", Accepts::Switch),
        Key::new("redis.key_prefix", Accepts::Name),
    ];
}
