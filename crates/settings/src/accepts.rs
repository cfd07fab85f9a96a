use config::{Value, ValueKind};

use crate::address::{is_host, is_origin, is_postgres_url, is_redis_url, network};

/// The values a key takes, whether they come typed from a file or as text from a variable.
#[derive(Debug)]
pub(crate) enum Accepts {
    /// A whole number between two bounds, both included.
    Whole(i64, i64),
    Switch,
    OneOf(&'static [&'static str]),
    Name,
    Host,
    Secret,
    /// Optional: an empty text is none.
    OptionalSecret,
    /// Optional: an empty text is none.
    PrivateKey,
    /// Optional: an empty text is none.
    PublicKey,
    PostgresUrl,
    /// Optional: an empty text is none.
    RedisUrl,
    /// A list, or one text with commas.
    Origins,
    /// A list, or one text with commas.
    Networks,
    /// A list, or one text with commas.
    CommandNames,
    /// A list, or one text with commas.
    AgentActions,
    /// Optional: an empty text is none.
    FilePath,
    LogLevel,
}

impl Accepts {
    /// The value in the form that its field deserialises from, or `None` if it is not accepted.
    pub(crate) fn read(&self, value: &ValueKind) -> Option<ValueKind> {
        let text = match value {
            ValueKind::String(text) => Some(text.as_str()),
            _ => None,
        };
        match self {
            Self::Whole(min, max) => {
                let number = match value {
                    ValueKind::I64(number) => *number,
                    _ => text?.trim().parse().ok()?,
                };
                (*min..=*max).contains(&number).then_some(number.into())
            }
            Self::Switch => match value {
                ValueKind::Boolean(on) => Some((*on).into()),
                _ => text?.trim().parse::<bool>().ok().map(ValueKind::from),
            },
            Self::OneOf(names) => when(text?, |text| names.contains(&text)),
            Self::Name => when(text?, is_name),
            Self::Host => when(text?, is_host),
            Self::RedisUrl
            | Self::FilePath
            | Self::OptionalSecret
            | Self::PrivateKey
            | Self::PublicKey
                if text == Some("") =>
            {
                Some(ValueKind::Nil)
            }
            Self::Secret | Self::OptionalSecret => when(text?, |text| !text.is_empty()),
            Self::PostgresUrl => when(text?, is_postgres_url),
            Self::PrivateKey => when(text?, |text| is_pem(text, "PRIVATE KEY")),
            Self::PublicKey => when(text?, |text| is_pem(text, "PUBLIC KEY")),
            Self::RedisUrl => when(text?, is_redis_url),
            Self::Origins => list(value, is_origin),
            Self::Networks => list(value, |text| network(text).is_some()),
            Self::CommandNames => list(value, is_command_name),
            Self::AgentActions => list(value, is_agent_action),
            Self::FilePath => when(text?, is_file_path),
            Self::LogLevel => when(text?, is_log_level),
        }
    }

    /// What is accepted, to follow "expected".
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Whole(min, max) => return format!("a whole number from {min} to {max}"),
            Self::OneOf(names) => return format!("one of {}", names.join(", ")),
            Self::Switch => "true or false",
            Self::Name => {
                "a name of 1 to 64 lower-case letters, digits, - and _, beginning with a letter"
            }
            Self::Host => "an IP address or a host name",
            Self::Secret => "a text that is not empty",
            Self::OptionalSecret => "a text, or an empty one for none",
            Self::PrivateKey => {
                "an Ed25519 private key in PEM, which begins with -----BEGIN PRIVATE KEY-----, or an \
                 empty text for none"
            }
            Self::PublicKey => {
                "an Ed25519 public key in PEM, which begins with -----BEGIN PUBLIC KEY-----, or an \
                 empty text for none"
            }
            Self::PostgresUrl => {
                "postgres://user:password@host:port/database, several hosts separated by commas, with \
                 special characters of the password percent-encoded; sslmode disable, prefer, \
                 require, verify-ca or verify-full, the last two with sslrootcert; sslcert with \
                 sslkey"
            }
            Self::RedisUrl => {
                "redis://host:port or rediss://host:port, with special characters of the password \
                 percent-encoded, or an empty text for none"
            }
            Self::Origins => {
                "* or http(s)://host[:port] as browsers send it, without path, final slash or \
                 default port; several as a list, or separated by commas in a variable"
            }
            Self::Networks => {
                "IP addresses, or networks as 10.0.0.0/8 without bits past the prefix, and not all \
                 addresses at once; several as a list, or separated by commas in a variable"
            }
            Self::CommandNames => {
                "command names of 1 to 100 letters and digits; several as a list, or separated by \
                 commas in a variable"
            }
            Self::AgentActions => {
                "the name of a service account, a colon and a permission, as \
                 fleet-monitor:commands.submit; several as a list, or separated by commas in a \
                 variable"
            }
            Self::FilePath => "the path of a file, or an empty text for none",
            Self::LogLevel => {
                "off, error, warn, info, debug or trace, or target=level, several separated by \
                 commas"
            }
        }
        .to_owned()
    }
}

fn when(text: &str, is_accepted: impl Fn(&str) -> bool) -> Option<ValueKind> {
    is_accepted(text).then(|| text.into())
}

fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_'))
}

fn is_command_name(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Which permissions there are is for those to say who know them.
fn is_agent_action(text: &str) -> bool {
    text.split_once(':').is_some_and(|(name, permission)| {
        is_account_name(name)
            && !permission.is_empty()
            && permission
                .chars()
                .all(|c| matches!(c, 'a'..='z' | '_' | '.'))
    })
}

fn is_account_name(text: &str) -> bool {
    text.len() <= 50
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .chars()
            .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-'))
}

/// The frame of RFC 7468. Whether there is a key in it shows when it is used.
fn is_pem(text: &str, label: &str) -> bool {
    text.trim()
        .strip_prefix(&format!("-----BEGIN {label}-----"))
        .is_some_and(|rest| rest.ends_with(&format!("-----END {label}-----")))
}

/// No system opens a path with a zero byte; a final slash names a directory.
fn is_file_path(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0') && !text.ends_with('/')
}

/// The texts of a list, each of which must be accepted.
fn list(value: &ValueKind, is_accepted: impl Fn(&str) -> bool) -> Option<ValueKind> {
    let texts: Vec<&str> = match value {
        ValueKind::String(list) if list.trim().is_empty() => Vec::new(),
        ValueKind::String(list) => list.split(',').map(str::trim).collect(),
        ValueKind::Array(items) => items.iter().map(item_text).collect::<Option<_>>()?,
        _ => return None,
    };
    texts
        .iter()
        .all(|text| is_accepted(text))
        .then(|| texts.into())
}

fn item_text(item: &Value) -> Option<&str> {
    match &item.kind {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

fn is_log_level(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    text.split(',').all(|directive| {
        let (target, level) = directive.rsplit_once('=').unwrap_or(("any", directive));
        let is_target = !target.is_empty() && !target.contains(char::is_whitespace);
        is_target && LEVELS.contains(&level.to_lowercase().as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_sorts(accepts: &Accepts, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(
                accepts.read(&(*text).into()).is_some(),
                "{text} should be accepted"
            );
        }
        for text in bad {
            assert!(
                accepts.read(&(*text).into()).is_none(),
                "{text} should be refused"
            );
        }
    }

    #[test]
    fn whole_numbers_end_at_their_bounds() {
        assert_sorts(
            &Accepts::Whole(1, 9),
            &["1", "9", " 5 "],
            &["0", "10", "-1", "5.0", "", "five", "99999999999999999999"],
        );
        assert!(Accepts::Whole(1, 9).read(&5.0.into()).is_none());
        assert!(Accepts::Whole(0, 1).read(&true.into()).is_none());
    }

    #[test]
    fn switches() {
        assert_sorts(
            &Accepts::Switch,
            &["true", "false"],
            &["1", "yes", "", "TRUE"],
        );
    }

    #[test]
    fn names() {
        let (longest, too_long) = ("a".repeat(64), "a".repeat(65));
        assert_sorts(
            &Accepts::Name,
            &["mock", "a", "sovd-http_2", &longest],
            &["", "2a", "Mock", "a b", &too_long],
        );
    }

    #[test]
    fn browser_origins() {
        assert_sorts(
            &Accepts::Origins,
            &[
                "",
                "*",
                "https://a.example",
                "http://localhost:3000, https://b.example",
            ],
            &[
                "https://a.example/",
                "https://a.example/app",
                "https://a.example:443",
                "https://A.example",
                "https://u:p@a.example",
                "ftp://a.example",
                "a.example",
                "https://a.example,,https://b.example",
            ],
        );
    }

    #[test]
    fn networks() {
        assert_sorts(
            &Accepts::Networks,
            &["", "10.0.0.1", "10.0.0.0/8, 2001:db8::/32", "::1"],
            &["10.0.0.1,", "proxy.example", "*", "10.0.0.1/8"],
        );
    }

    #[test]
    fn command_names() {
        let (longest, too_long) = ("A".repeat(100), "A".repeat(101));
        assert_sorts(
            &Accepts::CommandNames,
            &["", "ReadDTC", "a", "7", "ReadDTC, ClearDTC", &longest],
            &["Read DTC", "Read-DTC", "LésDTC", "ReadDTC,", ",", &too_long],
        );
        let list = |items: Vec<&str>| Accepts::CommandNames.read(&items.into());
        assert!(list(vec![]).is_some());
        assert!(list(vec!["ReadDTC", &longest]).is_some());
        assert!(list(vec!["ReadDTC", ""]).is_none());
        assert!(list(vec!["ReadDTC,ClearDTC"]).is_none());
        assert!(Accepts::CommandNames.read(&true.into()).is_none());
    }

    #[test]
    fn agent_actions() {
        let longest = format!("{}:commands.submit", "a".repeat(50));
        let too_long = format!("{}:commands.submit", "a".repeat(51));
        assert_sorts(
            &Accepts::AgentActions,
            &[
                "",
                "fleet-monitor:commands.submit",
                "7.a_b-c:x, b:commands.read_all",
                &longest,
            ],
            &[
                "fleet-monitor",
                "fleet-monitor:",
                ":commands.submit",
                "Monitor:commands.submit",
                "-monitor:commands.submit",
                "fleet monitor:commands.submit",
                "monitor:commands:submit",
                "monitor:Commands.submit",
                "monitor:commands.submit,",
                "*:commands.submit",
                "monitor:*",
                &too_long,
            ],
        );
        let list = |items: Vec<&str>| Accepts::AgentActions.read(&items.into());
        assert!(list(vec![]).is_some());
        assert!(list(vec!["a:b", &longest]).is_some());
        assert!(list(vec!["a:b", ""]).is_none());
        assert!(list(vec!["a:b,c:d"]).is_none());
        assert!(Accepts::AgentActions.read(&true.into()).is_none());
    }

    #[test]
    fn an_empty_path_is_none() {
        assert_eq!(Accepts::FilePath.read(&"".into()), Some(ValueKind::Nil));
        assert_sorts(
            &Accepts::FilePath,
            &["a", "/var/lib/sovd/a b.jsonl", "../a"],
            &["/", "logs/", "a\0b"],
        );
        assert!(Accepts::FilePath.read(&5.into()).is_none());
    }

    #[test]
    fn an_empty_optional_secret_is_none() {
        let read = |value: ValueKind| Accepts::OptionalSecret.read(&value);
        assert_eq!(read("".into()), Some(ValueKind::Nil));
        assert_eq!(read("x".into()), Some("x".into()));
        assert_eq!(read(5.into()), None);
    }

    #[test]
    fn an_empty_redis_address_is_none() {
        assert_eq!(Accepts::RedisUrl.read(&"".into()), Some(ValueKind::Nil));
        assert_sorts(&Accepts::PostgresUrl, &[], &[""]);
        assert_sorts(&Accepts::Secret, &["x"], &[""]);
    }

    #[test]
    fn keys_are_in_their_frames() {
        let private = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----";
        assert_eq!(Accepts::PrivateKey.read(&"".into()), Some(ValueKind::Nil));
        assert_eq!(Accepts::PublicKey.read(&"".into()), Some(ValueKind::Nil));
        let cut = public.trim_end_matches('-');
        assert_sorts(&Accepts::PrivateKey, &[private], &["key", public, cut]);
        assert_sorts(&Accepts::PublicKey, &[public], &["key", private, cut]);
    }

    #[test]
    fn log_levels() {
        assert_sorts(
            &Accepts::LogLevel,
            &["info", "WARN", "warn,sovd_api=debug", "off"],
            &[
                "",
                "loud",
                "info,",
                "sovd_api=loud",
                "info, sovd_api=debug",
                "=info",
                "sovd_api",
            ],
        );
    }
}
