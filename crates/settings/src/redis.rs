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
    /// What the keys in Redis begin with: a lower-case letter, then at most 63 lower-case letters,
    /// digits, `_` and `-`. Processes with the same one count failed logins together.
    pub key_prefix: String,
}

impl Redis {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("redis.url", Accepts::RedisUrl).flat("REDIS_URL"),
        Key::new("redis.key_prefix", Accepts::Name),
    ];
}
