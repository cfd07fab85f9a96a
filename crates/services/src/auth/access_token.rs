use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sovd_domain::Role;
use uuid::Uuid;

use crate::error::{AuthFailure, ServiceError};

const ISSUER: &str = "sovd-command";
const AUDIENCE: &str = "sovd-command";
const TYPE: &str = "access";

/// What signs access tokens.
pub struct SigningKey {
    /// At least 32 bytes.
    pub secret: SecretString,
    /// `HS256`, `HS384` or `HS512` (RFC 7518).
    pub algorithm: HmacAlgorithm,
}

/// The hash under an HMAC signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HmacAlgorithm {
    /// SHA-256.
    Hs256,
    /// SHA-384.
    Hs384,
    /// SHA-512.
    Hs512,
}

/// Makes and checks access tokens (JWT, RFC 7519).
pub(super) struct AccessTokens {
    header: Header,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    ttl: Duration,
}

/// What the holder of a token is known by.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: Uuid,
    pub(super) sid: Uuid,
    pub(super) jti: Uuid,
    pub(super) role: Role,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    #[serde(flatten)]
    claims: Claims,
    typ: String,
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
}

impl AccessTokens {
    pub(super) fn new(key: &SigningKey, ttl: Duration) -> Self {
        let algorithm = match key.algorithm {
            HmacAlgorithm::Hs256 => Algorithm::HS256,
            HmacAlgorithm::Hs384 => Algorithm::HS384,
            HmacAlgorithm::Hs512 => Algorithm::HS512,
        };
        let secret = key.secret.expose_secret().as_bytes();
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library asks the machine's clock; ours is compared below.
        validation.validate_exp = false;
        Self {
            header: Header::new(algorithm),
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            ttl,
        }
    }

    pub(super) fn ttl(&self) -> Duration {
        self.ttl
    }

    pub(super) fn issue(
        &self,
        claims: Claims,
        now: DateTime<Utc>,
        expires_in: Duration,
    ) -> Result<SecretString, ServiceError> {
        let payload = Payload {
            claims,
            typ: TYPE.to_owned(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat: now.timestamp(),
            exp: (now + expires_in).timestamp(),
        };
        jsonwebtoken::encode(&self.header, &payload, &self.encoding)
            .map(SecretString::from)
            .map_err(ServiceError::internal)
    }

    /// What a token of ours says, and until when it is good.
    pub(super) fn verify(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<(Claims, DateTime<Utc>), AuthFailure> {
        let TokenData {
            claims: payload, ..
        } = jsonwebtoken::decode::<Payload>(token, &self.decoding, &self.validation)
            .map_err(|_| AuthFailure::TokenInvalid)?;
        if payload.typ != TYPE {
            return Err(AuthFailure::TokenInvalid);
        }
        if payload.exp <= now.timestamp() {
            return Err(AuthFailure::TokenExpired);
        }
        let expires_at =
            DateTime::from_timestamp(payload.exp, 0).ok_or(AuthFailure::TokenInvalid)?;
        Ok((payload.claims, expires_at))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;

    fn tokens(secret: &str, algorithm: HmacAlgorithm) -> AccessTokens {
        let key = SigningKey {
            secret: secret.into(),
            algorithm,
        };
        AccessTokens::new(&key, Duration::from_mins(15))
    }

    fn ours() -> AccessTokens {
        tokens("0123456789abcdef0123456789abcdef", HmacAlgorithm::Hs256)
    }

    fn claims() -> Claims {
        Claims {
            sub: Uuid::from_u128(1),
            sid: Uuid::from_u128(2),
            jti: Uuid::from_u128(3),
            role: Role::Engineer,
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn check(token: &SecretString, at: DateTime<Utc>) -> Result<Uuid, AuthFailure> {
        ours()
            .verify(token.expose_secret(), at)
            .map(|(claims, _)| claims.sid)
    }

    #[test]
    fn is_good_until_the_second_it_ends() {
        let token = ours().issue(claims(), now(), ours().ttl()).unwrap();
        let end = now() + TimeDelta::minutes(15);
        assert_eq!(check(&token, now()), Ok(Uuid::from_u128(2)));
        assert_eq!(
            check(&token, end - TimeDelta::seconds(1)),
            Ok(Uuid::from_u128(2))
        );
        assert_eq!(check(&token, end), Err(AuthFailure::TokenExpired));
    }

    #[test]
    fn of_another_key_or_algorithm_is_invalid() {
        for other in [
            tokens("another-secret-another-secret-123", HmacAlgorithm::Hs256),
            tokens("0123456789abcdef0123456789abcdef", HmacAlgorithm::Hs512),
        ] {
            let token = other.issue(claims(), now(), ours().ttl()).unwrap();
            assert_eq!(check(&token, now()), Err(AuthFailure::TokenInvalid));
        }
    }

    #[test]
    fn of_another_audience_issuer_or_type_is_invalid() {
        for (claim, value) in [("aud", "other"), ("iss", "other"), ("typ", "refresh")] {
            let mut payload = json!({
                "sub": Uuid::from_u128(1), "sid": Uuid::from_u128(2), "jti": Uuid::from_u128(3),
                "role": "engineer", "typ": TYPE, "iss": ISSUER, "aud": AUDIENCE,
                "iat": now().timestamp(), "exp": now().timestamp() + 900,
            });
            let ours = ours();
            let signed = |payload: &serde_json::Value| {
                SecretString::from(
                    jsonwebtoken::encode(&ours.header, payload, &ours.encoding).unwrap(),
                )
            };
            assert!(check(&signed(&payload), now()).is_ok());
            payload[claim] = json!(value);
            assert_eq!(
                check(&signed(&payload), now()),
                Err(AuthFailure::TokenInvalid),
                "{claim}"
            );
        }
    }
}
