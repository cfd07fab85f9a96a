use config::ValueKind;

use crate::kind::Kind;
use crate::secret_url;
use crate::sections::KEYS;
use crate::text::Visibility;

/// The path, variables and accepted values of one setting.
pub(crate) struct Key {
    /// Dotted path, such as `server.port`.
    pub(crate) path: &'static str,
    /// Customary variable, such as `DATABASE_URL`.
    pub(crate) customary: Option<&'static str>,
    pub(crate) kind: Kind,
}

impl Key {
    pub(crate) fn find(path: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.path == path)
    }

    /// Returns whether `path` is this key or contains it. The empty path contains every key.
    pub(crate) fn is_in(&self, path: &str) -> bool {
        let rest = self.path.strip_prefix(path);
        rest.is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('.'))
    }

    /// Returns the variable of this key, such as `SOVD__SERVER__PORT`.
    pub(crate) fn variable(&self) -> String {
        format!("SOVD__{}", self.path.replace('.', "__").to_uppercase())
    }

    /// Returns the variables of this key, in ascending order of precedence.
    pub(crate) fn variables(&self) -> impl Iterator<Item = String> {
        let customary = self.customary.map(str::to_owned);
        customary.into_iter().chain([self.variable()])
    }

    /// Formats a value in TOML notation, without secrets.
    pub(crate) fn show(&self, value: &ValueKind) -> String {
        let visibility = match &self.kind {
            Kind::Text(format) | Kind::Optional(format) => format.visibility,
            _ => Visibility::Shown,
        };
        match (value, visibility) {
            (ValueKind::Nil, _) => "none".to_owned(),
            (_, Visibility::Shown) => show(value),
            (ValueKind::String(url), Visibility::WithoutPassword) => show_url(url),
            _ => secret_url::MASK.to_owned(),
        }
    }
}

fn show(value: &ValueKind) -> String {
    match value {
        // A URL with a password may be in the wrong variable.
        ValueKind::String(text) if text.contains("://") || text.contains('@') => show_url(text),
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| show(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Table(_) => "a table".to_owned(),
        // Keeps the ".0" for which a whole number is rejected.
        ValueKind::Float(number) => format!("{number:?}"),
        value => value.to_string(),
    }
}

fn show_url(text: &str) -> String {
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
    fn variables_are_unique_and_do_not_end_in_file() {
        let mut seen = BTreeSet::new();
        for name in KEYS.iter().flat_map(Key::variables) {
            assert!(!name.ends_with("_FILE"), "{name}");
            assert!(seen.insert(name.clone()), "{name} twice");
        }
    }
}
