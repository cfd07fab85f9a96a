use std::{sync::Arc, thread::available_parallelism};

use bcrypt::BcryptError;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::error::ServiceError;

/// Salt and hash of nobody's password; only the work of comparing with it counts.
const NOBODY: &str = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// Checks passwords against bcrypt hashes, off the threads that serve requests, a few at a time.
pub(super) struct Passwords {
    places: Arc<Semaphore>,
    decoy: String,
}

impl Passwords {
    pub(super) fn new(cost: u32) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self {
            places: Arc::new(Semaphore::new(cores)),
            decoy: format!("$2b${cost:02}${NOBODY}"),
        }
    }

    /// Whether `password` is the one behind `hash`; without a hash it is not, after the same
    /// time.
    pub(super) async fn verify(
        &self,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<bool, ServiceError> {
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(ServiceError::internal)?;
        let checked = tokio::task::spawn_blocking(move || {
            let _place = place;
            bcrypt::non_truncating_verify(password.expose_secret(), &hash)
        })
        .await
        .map_err(ServiceError::internal)?;
        match checked {
            Ok(matches) => Ok(matches && is_known),
            // bcrypt reads 72 bytes, so no stored password is longer.
            Err(BcryptError::Truncation(_)) => Ok(false),
            Err(error) => Err(ServiceError::internal(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn verify(password: &str, hash: Option<&str>) -> bool {
        let passwords = Passwords::new(4);
        passwords
            .verify(password.into(), hash.map(str::to_owned))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let hash = bcrypt::hash("right", 4).unwrap();
        assert!(verify("right", Some(&hash)).await);
        assert!(!verify("wrong", Some(&hash)).await);
        assert!(!verify("", Some(&hash)).await);
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        assert!(!verify("right", None).await);
    }

    #[tokio::test]
    async fn a_password_past_72_bytes_is_not_cut() {
        let stored = "a".repeat(71);
        let hash = bcrypt::hash(&stored, 4).unwrap();
        assert!(verify(&stored, Some(&hash)).await);
        assert!(!verify(&"a".repeat(72), Some(&hash)).await);
        assert!(!verify(&"a".repeat(100), Some(&hash)).await);
    }
}
