use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::SettingsError;
use crate::{files, variables};

/// Sources of settings. The default reads the built-in files only.
///
/// Contains secrets in plaintext and therefore does not implement `Debug`.
#[derive(Clone, Default)]
pub struct Sources {
    /// Directory of `default.toml` and `{environment}.toml`. The directory and the files may be
    /// absent.
    pub config_dir: Option<PathBuf>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// The `.env` file, which may be absent.
    pub dotenv: Option<PathBuf>,
    /// Values that override all others, by dotted path such as `server.port`.
    pub overrides: BTreeMap<String, String>,
}

impl Sources {
    /// Returns the sources of this process: its environment variables, `.env` in the working
    /// directory, and the directory in `SOVD_CONFIG_DIR` or else `config` in the working directory.
    ///
    /// # Errors
    ///
    /// If a variable of this program is not valid Unicode, or the directory in `SOVD_CONFIG_DIR`
    /// cannot be read.
    pub fn from_process() -> Result<Self, SettingsError> {
        Ok(Self {
            config_dir: Some(config_dir(env::var_os("SOVD_CONFIG_DIR"))?),
            env: settings_in(env::vars_os())?,
            dotenv: Some(PathBuf::from(".env")),
            overrides: BTreeMap::new(),
        })
    }
}

/// A directory that is named must exist, because its settings would be missing unnoticed.
fn config_dir(named: Option<OsString>) -> Result<PathBuf, SettingsError> {
    let Some(named) = named.filter(|dir| !dir.is_empty()) else {
        return Ok(PathBuf::from("config"));
    };
    let path = PathBuf::from(named);
    match path.read_dir() {
        Ok(_) => Ok(path),
        Err(error) => {
            let reason = format!("SOVD_CONFIG_DIR names no readable directory: {error}");
            let problems = vec![files::unreadable(&path, &reason)];
            Err(SettingsError { problems })
        }
    }
}

/// Returns the variables that may be settings. Others need not be Unicode.
fn settings_in(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, SettingsError> {
    let mut problems = Vec::new();
    let mut found = BTreeMap::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| variables::is_setting(name)) else {
            continue;
        };
        match value.into_string() {
            Ok(value) => {
                found.insert(name.to_owned(), value);
            }
            Err(_) => problems.push(format!("{name} (from environment) is not valid Unicode")),
        }
    }
    if !problems.is_empty() {
        return Err(SettingsError { problems });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn variable(name: &str, value: &[u8]) -> (OsString, OsString) {
        (OsString::from(name), OsString::from_vec(value.to_vec()))
    }

    #[test]
    fn a_named_directory_must_exist() {
        for (named, expected) in [(None, "config"), (Some(""), "config"), (Some("/"), "/")] {
            let dir = config_dir(named.map(Into::into)).unwrap();
            assert_eq!(dir, PathBuf::from(expected));
        }
        let error = config_dir(Some("/no/such/directory".into())).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("SOVD_CONFIG_DIR"), "{error}");
        assert!(error.contains("/no/such/directory"), "{error}");
    }

    #[test]
    fn keeps_only_variables_of_this_program() {
        let ours = "SOVD__ANY SOVD_ENVIRONMENT DATABASE_URL JWT_SECRET_FILE".split(' ');
        let others = "PATH SECRET SOVD_OTHER X_FILE".split(' ');
        let variables = ours.clone().chain(others).map(|name| variable(name, b"x"));

        let found = settings_in(variables).unwrap();

        assert_eq!(found.len(), 4, "{found:?}");
        assert!(ours.into_iter().all(|name| found.contains_key(name)));
    }

    #[test]
    fn only_variables_of_this_program_must_be_unicode() {
        assert!(settings_in([variable("OTHER", b"\xff")].into_iter()).is_ok());

        let error = settings_in([variable("JWT_SECRET", b"hunter2\xff")].into_iter()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the configuration is not valid: JWT_SECRET (from environment) is not valid Unicode"
        );
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
