use config::ValueKind;

use crate::accepts::Accepts;
use crate::{
    Agents, Audit, Auth, Connector, Database, Dispatch, Environment, Limits, Log, Maintenance,
    Redis, Server, Streams, secret_url,
};

/// One setting: where it sits in the tree, which variables reach it and what it accepts.
#[derive(Debug)]
pub(crate) struct Key {
    /// Dotted path, as `server.port`.
    pub(crate) path: &'static str,
    /// Customary variable, as `DATABASE_URL`.
    pub(crate) flat: Option<&'static str>,
    pub(crate) accepts: Accepts,
}

impl Key {
    pub(crate) const fn new(path: &'static str, accepts: Accepts) -> Self {
        Self {
            path,
            flat: None,
            accepts,
        }
    }

    pub(crate) const fn flat(self, name: &'static str) -> Self {
        Self {
            flat: Some(name),
            ..self
        }
    }

    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        [
            Environment::KEYS,
            Server::KEYS,
            Database::KEYS,
            Redis::KEYS,
            Auth::KEYS,
            Connector::KEYS,
            Dispatch::KEYS,
            Streams::KEYS,
            Limits::KEYS,
            Agents::KEYS,
            Audit::KEYS,
            Maintenance::KEYS,
            Log::KEYS,
        ]
        .into_iter()
        .flatten()
    }

    pub(crate) fn find(path: &str) -> Option<&'static Self> {
        Self::all().find(|key| key.path == path)
    }

    /// Whether some key lies below this path.
    pub(crate) fn is_section(path: &str) -> bool {
        Self::all().any(|key| {
            key.path
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('.'))
        })
    }

    /// The variable that reaches this key, as `SOVD__SERVER__PORT`.
    pub(crate) fn variable(&self) -> String {
        format!("SOVD__{}", self.path.replace('.', "__").to_uppercase())
    }

    /// The names a person may set, the customary one first.
    pub(crate) fn variables(&self) -> impl Iterator<Item = String> {
        self.flat
            .map(str::to_owned)
            .into_iter()
            .chain([self.variable()])
    }

    /// The value in TOML notation, fit for logs and errors.
    pub(crate) fn shown(&self, value: &ValueKind) -> String {
        match self.accepts {
            _ if *value == ValueKind::Nil => "none".to_owned(),
            // The private key may have ended up in the place of the public one.
            Accepts::Secret
            | Accepts::OptionalSecret
            | Accepts::PrivateKey
            | Accepts::PublicKey => secret_url::MASK.to_owned(),
            Accepts::PostgresUrl | Accepts::RedisUrl => match value {
                ValueKind::String(url) => shown_url(url),
                _ => secret_url::MASK.to_owned(),
            },
            _ => plain(value),
        }
    }
}

fn plain(value: &ValueKind) -> String {
    match value {
        // A URL with a password may have ended up in the wrong variable.
        ValueKind::String(text) if text.contains("://") || text.contains('@') => shown_url(text),
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| plain(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Table(_) => "a table".to_owned(),
        value => value.to_string(),
    }
}

fn shown_url(text: &str) -> String {
    match secret_url::masked(text) {
        Some(masked) => format!("{masked:?}"),
        None => secret_url::MASK.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn paths_and_variables_are_unique_and_none_reads_as_a_file_variable() {
        let mut seen = BTreeSet::new();
        for name in Key::all().flat_map(Key::variables) {
            assert!(!name.ends_with("_FILE"), "{name}");
            assert!(seen.insert(name.clone()), "{name} twice");
        }
    }

    #[test]
    fn a_section_is_a_whole_segment() {
        assert!(Key::is_section("connector.mock"));
        assert!(!Key::is_section("connector.mo"));
        assert!(!Key::is_section("server.port"));
    }
}
