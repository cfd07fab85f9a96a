use serde::Deserialize;

use crate::SecretUrl;
use crate::accepts::Accepts;
use crate::key::Key;

/// The event bus between processes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://` or `rediss://` address; without one, events stay inside the process.
    pub url: Option<SecretUrl>,
}

impl Redis {
    pub(crate) const KEYS: &[Key] = &[Key::new("redis.url", Accepts::RedisUrl).flat("REDIS_URL")];
}
