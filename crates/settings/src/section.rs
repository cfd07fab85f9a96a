use config::ValueKind;

use crate::kind::{Validate, Visibility};
use crate::sections::{
    Agents, Audit, Auth, Connector, Database, Dispatch, Limits, Log, Maintenance, MockConnector,
    Redis, Server, Streams,
};
use crate::{DeploymentEnvironment, secret_url};

/// Defines a section: a struct with public fields, and a [`Key`] for each of them.
///
/// Each line is `field: Kind`, then `= "VARIABLE"` if the key has a customary variable, then
/// `=> method` for a method that returns the field as a duration, or `=>? method` if 0 means none.
macro_rules! section {
    (
        $(#[$doc:meta])*
        $name:ident $path:literal {
            $(
                $field:ident: $kind:ty
                    $(= $variable:literal)? $(=> $duration:ident)? $(=>? $period:ident)?,
            )*
        }
        $(with $(#[$nested_doc:meta])* $nested:ident: $section:ty)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, ::serde::Deserialize)]
        pub struct $name {
            $(
                #[doc = concat!("The setting `", $path, ".", stringify!($field), "`.")]
                pub $field: <$kind as $crate::kind::Kind>::Field,
            )*
            $($(#[$nested_doc])* pub $nested: $section,)?
        }

        impl $name {
            pub(crate) const KEYS: &[$crate::section::Key] = &[$(
                $crate::section::Key::new::<$kind>(concat!($path, ".", stringify!($field)))
                    $(.or_variable($variable))?,
            )*];

            $($(
                #[doc = concat!("Returns `", stringify!($field), "` as a duration.")]
                #[must_use]
                pub fn $duration(&self) -> ::std::time::Duration {
                    <$kind>::duration(self.$field)
                }
            )? $(
                #[doc = concat!("Returns `", stringify!($field), "` as a duration, unless it is 0.")]
                #[must_use]
                pub fn $period(&self) -> Option<::std::time::Duration> {
                    (self.$field > 0).then(|| <$kind>::duration(self.$field))
                }
            )?)*
        }
    };
}

pub(crate) use section;

/// The path, variables and accepted values of one setting.
pub(crate) struct Key {
    /// Dotted path, such as `server.port`.
    pub(crate) path: &'static str,
    /// Customary variable, such as `DATABASE_URL`.
    pub(crate) customary: Option<&'static str>,
    /// See [`Validate::validate`].
    pub(crate) validate: fn(&ValueKind) -> Option<ValueKind>,
    /// See [`Validate::expected`].
    pub(crate) expected: fn() -> String,
    visibility: Visibility,
}

impl Key {
    pub(crate) const fn new<K: Validate>(path: &'static str) -> Self {
        Self {
            path,
            customary: None,
            validate: K::validate,
            expected: K::expected,
            visibility: K::VISIBILITY,
        }
    }

    pub(crate) const fn or_variable(self, name: &'static str) -> Self {
        Self {
            customary: Some(name),
            ..self
        }
    }

    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        [
            DeploymentEnvironment::KEYS,
            Server::KEYS,
            Database::KEYS,
            Redis::KEYS,
            Auth::KEYS,
            Connector::KEYS,
            MockConnector::KEYS,
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

    /// Returns whether `path` is this key or contains it.
    pub(crate) fn is_in(&self, path: &str) -> bool {
        self.path
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
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
        match (value, self.visibility) {
            (ValueKind::Nil, _) => "none".to_owned(),
            (_, Visibility::Shown) => show(value),
            (ValueKind::String(url), Visibility::Url) => show_url(url),
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
        for name in Key::all().flat_map(Key::variables) {
            assert!(!name.ends_with("_FILE"), "{name}");
            assert!(seen.insert(name.clone()), "{name} twice");
        }
    }
}
