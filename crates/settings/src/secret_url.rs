use std::fmt;
use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::{Position, Url};

/// Replacement for a secret in shown text.
pub(crate) const MASK: &str = "***";

/// A URL that may contain a password. `Debug` and `Display` show `***` in its place.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(SecretString);

impl SecretUrl {
    /// Wraps a URL without validating it.
    pub fn new(url: impl Into<String>) -> Self {
        Self(SecretString::from(url.into()))
    }

    /// Returns the URL with its password.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(masked(self.expose()).as_deref().unwrap_or(MASK))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({self})")
    }
}

/// Replaces the passwords in a URL by `***`.
///
/// Returns `None` if the position of a password is ambiguous: an unescaped `@`, `/` or `#` moves
/// the end of a password into the path, query or fragment.
pub(crate) fn masked(text: &str) -> Option<String> {
    let Some((single, hosts)) = single_host(text) else {
        return masked_single(text);
    };
    let masked = masked_single(&single)?;
    let (range, _) = host_range(&masked)?;
    Some(format!(
        "{}{hosts}{}",
        masked.get(..range.start)?,
        masked.get(range.end..)?
    ))
}

/// Splits a PostgreSQL URL with several hosts into the same URL with only the first, and the hosts.
pub(crate) fn single_host(text: &str) -> Option<(String, &str)> {
    let (range, hosts) = host_range(text)?;
    let (first, _) = hosts.split_once(',')?;
    let (before, after) = (text.get(..range.start)?, text.get(range.end..)?);
    Some((format!("{before}{first}{after}"), hosts))
}

/// Returns the range of the hosts and ports in a URL, and their text.
fn host_range(text: &str) -> Option<(Range<usize>, &str)> {
    let authority = text.find("://")? + "://".len();
    let rest = text.get(authority..)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let start = rest.get(..end)?.rfind('@').map_or(0, |at| at + 1);
    Some((authority + start..authority + end, rest.get(start..end)?))
}

fn masked_single(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok()?;
    let is_misplaced = url[Position::AfterPort..].contains('@');
    if !text.contains("://") || is_misplaced || url.fragment().is_some() {
        return None;
    }
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let mut query_is_secret = false;
    for (_, value) in pairs.iter_mut().filter(|(name, _)| is_secret(name)) {
        MASK.clone_into(value);
        query_is_secret = true;
    }
    if url.password().is_none() && !query_is_secret {
        // Parsing normalizes; errors show the URL as it was written.
        return Some(text.to_owned());
    }
    if url.password().is_some() {
        url.set_password(Some(MASK)).ok()?;
    }
    if query_is_secret {
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    Some(url.to_string())
}

fn is_secret(parameter: &str) -> bool {
    let parameter = parameter.to_lowercase();
    ["pass", "secret", "token"]
        .iter()
        .any(|word| parameter.contains(word))
}
