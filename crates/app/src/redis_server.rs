//! The Redis server of the settings and its certificates.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sovd_events::{BusError, RedisCertificates, RedisServer};
use sovd_settings::Redis;

use crate::error::StartError;

/// Returns the server, or `None` if the URL is not set. Reads the certificate files.
pub(crate) fn from(redis: &Redis) -> Result<Option<RedisServer>, StartError> {
    let Some(url) = &redis.url else {
        return Ok(None);
    };
    let authorities = content("redis.ca_path", redis.ca_path.as_deref())?;
    let certificate = content("redis.cert_path", redis.cert_path.as_deref())?;
    let key = content("redis.key_path", redis.key_path.as_deref())?;
    let certificates = RedisCertificates {
        authorities,
        client: certificate.zip(key),
    };
    RedisServer::new(url.expose(), &certificates)
        .map(Some)
        .map_err(|source| StartError::Redis {
            key: setting_of(&source, redis),
            source,
        })
}

fn content(key: &'static str, file: Option<&Path>) -> Result<Option<Vec<u8>>, StartError> {
    let read = |file: &Path| {
        fs::read(file).map_err(|source| StartError::File {
            key,
            file: file.display().to_string(),
            source,
        })
    };
    file.map(read).transpose()
}

/// Returns the setting that caused the error, with its value if that is a file.
fn setting_of(error: &BusError, redis: &Redis) -> String {
    let with_file = |key: &str, file: &Option<PathBuf>| match file {
        Some(file) => format!("{key}: {}", file.display()),
        None => key.to_owned(),
    };
    match error {
        BusError::Authorities(_) => with_file("redis.ca_path", &redis.ca_path),
        BusError::ClientCertificate(_) => with_file("redis.cert_path", &redis.cert_path),
        BusError::Address(_) | BusError::Unavailable(_) => "redis.url".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use sovd_settings::{SecretUrl, Settings};

    use super::*;

    fn error(change: impl FnOnce(&mut Redis)) -> String {
        let mut redis = Settings::for_tests("postgres://localhost", None).redis;
        redis.url = Some(SecretUrl::new("rediss://user:hunter2@cache"));
        change(&mut redis);
        let error = from(&redis).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        error
    }

    #[test]
    fn names_a_file_that_cannot_be_read() {
        let file = || Some("/nowhere/redis.pem".into());
        for (text, key) in [
            (error(|redis| redis.ca_path = file()), "redis.ca_path"),
            (error(|redis| redis.cert_path = file()), "redis.cert_path"),
            (error(|redis| redis.key_path = file()), "redis.key_path"),
        ] {
            let expected = format!("{key}: /nowhere/redis.pem cannot be read: ");
            assert!(text.starts_with(&expected), "{text}");
        }
    }

    #[test]
    fn names_a_file_without_certificates() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let text = error(|redis| redis.ca_path = Some(manifest.into()));
        let expected = format!("redis.ca_path: {manifest}: ");
        assert!(text.starts_with(&expected), "{text}");
        let text = error(|redis| {
            redis.cert_path = Some(manifest.into());
            redis.key_path = Some(manifest.into());
        });
        let expected = format!("redis.cert_path: {manifest}: ");
        assert!(text.starts_with(&expected), "{text}");
    }

    #[test]
    fn names_an_invalid_url() {
        let text = error(|redis| redis.url = Some(SecretUrl::new("rediss://user:hunter2@")));
        assert!(text.starts_with("redis.url: "), "{text}");
    }
}
