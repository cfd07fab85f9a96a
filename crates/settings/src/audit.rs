use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::accepts::Accepts;
use crate::key::Key;

/// The audit trail and its chain.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Milliseconds between two sealings of new lines, 0 to 60000; 0 leaves it to other processes,
    /// which look for lines of others every 30 s at least.
    pub seal_ms: u64,
    /// Days for which lines are kept, 0 to 36500; 0 is for ever.
    pub retention_days: u32,
    /// Ed25519 private key (PEM, PKCS #8) that signs checkpoints. Only the database tool needs it.
    pub checkpoint_private_key: Option<SecretString>,
    /// Ed25519 public key (PEM) that checks them. Only the database tool needs it.
    pub checkpoint_public_key: Option<String>,
}

impl Audit {
    pub(crate) const KEYS: &[Key] = &[
        Key::new("audit.seal_ms", Accepts::Whole(0, 60_000)),
        Key::new("audit.retention_days", Accepts::Whole(0, 36_500)),
        Key::new("audit.checkpoint_private_key", Accepts::PrivateKey),
        Key::new("audit.checkpoint_public_key", Accepts::PublicKey),
    ];

    /// Time between two sealings; nothing when this process does not seal.
    #[must_use]
    pub fn seal_interval(&self) -> Option<Duration> {
        (self.seal_ms > 0).then(|| Duration::from_millis(self.seal_ms))
    }

    /// Time for which lines are kept; nothing when they are kept for ever.
    #[must_use]
    pub fn retention(&self) -> Option<Duration> {
        kept_for(self.retention_days)
    }
}

/// Time for which something is kept that is kept for so many days; nothing when that is 0.
pub(crate) fn kept_for(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_hours(24 * u64::from(days)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::Settings;

    #[test]
    fn zero_is_never() {
        let mut audit = Settings::for_tests("postgres://localhost/db", None).audit;
        (audit.seal_ms, audit.retention_days) = (1, 2);
        assert_eq!(audit.seal_interval(), Some(Duration::from_millis(1)));
        assert_eq!(audit.retention(), Some(Duration::from_hours(48)));
        (audit.seal_ms, audit.retention_days) = (0, 0);
        assert_eq!(audit.seal_interval(), None);
        assert_eq!(audit.retention(), None);
    }
}
