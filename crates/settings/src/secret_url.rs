use std::fmt;
use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

/// What stands in for a secret wherever text is shown.
pub(crate) const MASK: &str = "***";

/// A URL that may carry a password: `Debug` and `Display` show `***` in its place.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(SecretString);

impl SecretUrl {
    /// Wraps a URL without checking it.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self(SecretString::from(url.into()))
    }

    /// The URL with its password, for the driver that connects.
    #[must_use]
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

/// The URL with `***` for its passwords; user name, hosts and path remain.
///
/// `None` when it cannot be told where a password would be. That includes an unescaped `@`, `/`
/// or `#` in a password, which moves its end into the path, query or fragment.
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

/// A URL of several hosts, as PostgreSQL has them, with only the first one, and all of them.
pub(crate) fn single_host(text: &str) -> Option<(String, &str)> {
    let (range, hosts) = host_range(text)?;
    let (first, _) = hosts.split_once(',')?;
    let (before, after) = (text.get(..range.start)?, text.get(range.end..)?);
    Some((format!("{before}{first}{after}"), hosts))
}

/// Where the hosts and ports of a URL are.
fn host_range(text: &str) -> Option<(Range<usize>, &str)> {
    let authority = text.find("://")? + "://".len();
    let rest = text.get(authority..)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let start = rest.get(..end)?.rfind('@').map_or(0, |at| at + 1);
    Some((authority + start..authority + end, rest.get(start..end)?))
}

fn masked_single(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok()?;
    let after_host = [Some(url.path()), url.query(), url.fragment()];
    let misplaced = after_host
        .into_iter()
        .flatten()
        .any(|part| part.contains('@'));
    if !text.contains("://") || misplaced || url.fragment().is_some() {
        return None;
    }
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let query_is_secret = pairs.iter().any(|(name, _)| is_secret(name));
    if url.password().is_none() && !query_is_secret {
        // Parsing normalises, and an error must show what was written.
        return Some(text.to_owned());
    }
    if url.password().is_some() {
        url.set_password(Some(MASK)).ok()?;
    }
    if query_is_secret {
        url.query_pairs_mut().clear().extend_pairs(
            pairs
                .iter()
                .map(|(name, value)| (name, if is_secret(name) { MASK } else { value })),
        );
    }
    Some(url.to_string())
}

fn is_secret(parameter: &str) -> bool {
    let parameter = parameter.to_lowercase();
    ["pass", "secret", "token"]
        .iter()
        .any(|word| parameter.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_is_hidden() {
        let url = SecretUrl::new("postgres://sovd:hunter2@db:5432/sovd?sslmode=require");

        assert_eq!(
            url.to_string(),
            "postgres://sovd:***@db:5432/sovd?sslmode=require"
        );
        assert!(!format!("{url:?}").contains("hunter2"));
        assert!(url.expose().contains("hunter2"));
    }

    #[test]
    fn the_password_of_several_hosts_is_hidden() {
        let url = SecretUrl::new("postgres://sovd:hunter2@db1:1,[::1],db3:3/sovd?sslmode=require");

        assert_eq!(
            url.to_string(),
            "postgres://sovd:***@db1:1,[::1],db3:3/sovd?sslmode=require"
        );
        let url = SecretUrl::new("postgres://db1,db2/sovd?password=hunter2");
        assert_eq!(url.to_string(), "postgres://db1,db2/sovd?password=***");
        let url = SecretUrl::new("postgres://sovd:hunter,2@x@db1,db2/sovd");
        assert!(!url.to_string().contains("hunter"), "{url}");
    }

    #[test]
    fn a_password_in_the_query_is_hidden() {
        let url = SecretUrl::new("postgres://db/sovd?user=sovd&sslpassword=hunter2");

        assert_eq!(
            url.to_string(),
            "postgres://db/sovd?user=sovd&sslpassword=***"
        );
    }

    #[test]
    fn a_url_whose_parts_cannot_be_told_apart_is_hidden_whole() {
        for text in [
            "hunter2",
            "sovd:hunter2@db/sovd",
            "postgres://sovd:hunter2/x@db/sovd",
            "postgres://sovd:12/hunter2@db/sovd",
            "postgres://sovd:12?hunter2@db/sovd",
            "postgres://sovd:12#hunter2",
        ] {
            assert_eq!(SecretUrl::new(text).to_string(), "***", "{text}");
        }
    }
}
