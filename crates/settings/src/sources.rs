use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Problem, SettingsError};
use crate::variables;

/// Where settings are read from. The default reads nothing but what is built in.
///
/// It holds secrets in the clear and therefore has no `Debug`.
#[derive(Clone, Default)]
pub struct Sources {
    /// Directory of `default.toml` and `{environment}.toml`; it may be absent, and so may either
    /// file.
    pub config_dir: Option<PathBuf>,
    /// Variables of the process.
    pub env: BTreeMap<String, String>,
    /// File of variables; it may be absent.
    pub dotenv: Option<PathBuf>,
    /// Values above all others by dotted path, as `server.port`.
    pub overrides: BTreeMap<String, String>,
}

impl Sources {
    /// The sources of a running program: its variables, `.env` in the working directory, and the
    /// directory that `SOVD_CONFIG_DIR` names, else `config` in the working directory.
    ///
    /// # Errors
    ///
    /// Names the variables of this program whose values are not Unicode, and a directory in
    /// `SOVD_CONFIG_DIR` that cannot be read.
    pub fn from_process() -> Result<Self, SettingsError> {
        Ok(Self {
            config_dir: Some(config_dir(env::var_os("SOVD_CONFIG_DIR"))?),
            env: ours(env::vars_os())?,
            dotenv: Some(PathBuf::from(".env")),
            overrides: BTreeMap::new(),
        })
    }
}

/// A directory that was named must be there: settings would be missing otherwise, and nobody
/// would notice.
fn config_dir(named: Option<OsString>) -> Result<PathBuf, SettingsError> {
    let Some(named) = named.filter(|dir| !dir.is_empty()) else {
        return Ok(PathBuf::from("config"));
    };
    let path = PathBuf::from(named);
    match path.read_dir() {
        Ok(_) => Ok(path),
        Err(error) => {
            let reason = format!("SOVD_CONFIG_DIR names no readable directory: {error}");
            Err(SettingsError::new(vec![Problem::UnreadableFile {
                path,
                reason,
            }]))
        }
    }
}

/// The variables that can matter to the settings. Others may be anything.
fn ours(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, SettingsError> {
    let mut problems = Vec::new();
    let mut found = BTreeMap::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| variables::is_ours(name)) else {
            continue;
        };
        match value.into_string() {
            Ok(value) => {
                found.insert(name.to_owned(), value);
            }
            Err(_) => problems.push(Problem::NotUnicode {
                name: name.to_owned(),
            }),
        }
    }
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(SettingsError::new(problems))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn variable(name: &str, value: &[u8]) -> (OsString, OsString) {
        (OsString::from(name), OsString::from_vec(value.to_vec()))
    }

    #[test]
    fn a_named_directory_must_be_there() {
        assert_eq!(config_dir(None).unwrap(), PathBuf::from("config"));
        assert_eq!(
            config_dir(Some("".into())).unwrap(),
            PathBuf::from("config")
        );
        assert_eq!(config_dir(Some("/".into())).unwrap(), PathBuf::from("/"));
        let error = config_dir(Some("/no/such/directory".into()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("SOVD_CONFIG_DIR"), "{error}");
        assert!(error.contains("/no/such/directory"), "{error}");
    }

    #[test]
    fn only_variables_of_this_program_are_kept() {
        let names = [
            "SOVD__ANY",
            "SOVD_ENVIRONMENT",
            "DATABASE_URL",
            "JWT_SECRET_FILE",
        ];
        let all = names
            .into_iter()
            .chain(["PATH", "SECRET", "SOVD_OTHER", "X_FILE"]);

        let found = ours(all.map(|name| variable(name, b"x"))).unwrap();

        assert_eq!(found.len(), names.len(), "{found:?}");
        assert!(
            names.iter().all(|name| found.contains_key(*name)),
            "{found:?}"
        );
    }

    #[test]
    fn only_variables_of_this_program_must_be_unicode() {
        assert!(ours([variable("OTHER", b"\xff")].into_iter()).is_ok());

        let error = ours([variable("JWT_SECRET", b"hunter2\xff")].into_iter()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the configuration is not valid: JWT_SECRET (from environment) is not valid Unicode"
        );
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
