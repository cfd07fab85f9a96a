use std::fs;

use sovd_settings::{Loaded, Settings, Sources};
use tempfile::TempDir;

pub(crate) const DATABASE: &str = "postgres://sovd@localhost/sovd";

/// A secret of 32 bytes, the minimum in production.
pub(crate) const SECRET: &str = "7c1f0b6f4f1e9d2a8b5c3d4e6f708192";

/// Sources with these variables and without files.
pub(crate) fn env<const N: usize>(variables: [(&str, &str); N]) -> Sources {
    let env = variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    Sources {
        env,
        ..Sources::default()
    }
}

/// Sources with these variables and a database URL.
pub(crate) fn with<const N: usize>(variables: [(&str, &str); N]) -> Sources {
    let mut sources = env([("DATABASE_URL", DATABASE)]);
    sources.env.extend(env(variables).env);
    sources
}

/// Sources with these variables, a database URL and the environment `production`.
pub(crate) fn production<const N: usize>(variables: [(&str, &str); N]) -> Sources {
    let mut sources = with([("SOVD_ENVIRONMENT", "production")]);
    sources.env.extend(env(variables).env);
    sources
}

/// A configuration directory, which may contain a `.env`.
pub(crate) struct Dir(TempDir);

impl Dir {
    pub(crate) fn with<const N: usize>(files: [(&str, &str); N]) -> Self {
        let dir = TempDir::new().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Self(dir)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Sources with this directory, these variables and a database URL.
    pub(crate) fn with_variables<const N: usize>(&self, variables: [(&str, &str); N]) -> Sources {
        Sources {
            config_dir: Some(self.0.path().to_owned()),
            dotenv: Some(self.0.path().join(".env")),
            ..with(variables)
        }
    }

    /// Sources with this directory and a database URL.
    pub(crate) fn sources(&self) -> Sources {
        self.with_variables([])
    }
}

#[track_caller]
pub(crate) fn load(sources: Sources) -> Loaded {
    match Settings::load(sources) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{error}"),
    }
}

/// The message of the error that the sources cause.
#[track_caller]
pub(crate) fn error(sources: Sources) -> String {
    Settings::load(sources).unwrap_err().to_string()
}

/// The value and origin of a key.
pub(crate) fn effective<'a>(loaded: &'a Loaded, key: &str) -> (&'a str, &'a str) {
    let value = loaded.values.iter().find(|value| value.key == key).unwrap();
    (&value.value, &value.origin)
}

#[track_caller]
pub(crate) fn assert_contains(text: &str, expected: &str) {
    assert!(text.contains(expected), "expected: {expected}\nin: {text}");
}
