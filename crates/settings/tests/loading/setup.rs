use std::fs;

use sovd_settings::{Loaded, Settings, Sources};
use tempfile::TempDir;

pub(crate) const DATABASE: &str = "postgres://sovd@localhost/sovd";

/// The variables alone, without files.
pub(crate) fn env<const N: usize>(variables: [(&str, &str); N]) -> Sources {
    let env = variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    Sources {
        env,
        ..Sources::default()
    }
}

/// A directory that serves as configuration directory and holds a `.env` if the test writes one.
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

    /// Sources that read this directory under these variables.
    pub(crate) fn under<const N: usize>(&self, variables: [(&str, &str); N]) -> Sources {
        Sources {
            config_dir: Some(self.0.path().to_owned()),
            dotenv: Some(self.0.path().join(".env")),
            ..env(variables)
        }
    }
}

#[track_caller]
pub(crate) fn load(sources: Sources) -> Loaded {
    match Settings::load(sources) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{error}"),
    }
}

/// The text of the error, which the sources must cause.
#[track_caller]
pub(crate) fn error(sources: Sources) -> String {
    Settings::load(sources).unwrap_err().to_string()
}

#[track_caller]
pub(crate) fn assert_contains(text: &str, expected: &str) {
    assert!(text.contains(expected), "expected: {expected}\nin: {text}");
}
