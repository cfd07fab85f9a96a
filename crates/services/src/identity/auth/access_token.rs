use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::Validation;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sovd_domain::Role;
use uuid::Uuid;

use super::signing_key::SigningKeys;
use crate::error::{AuthFailure, Result, ServiceError};

const ISSUER: &str = "sovd-command";
const AUDIENCE: &str = "sovd-command";
const TYPE: &str = "access";

/// Issues and verifies access tokens (JWT, RFC 7519).
pub(super) struct AccessTokens {
    keys: SigningKeys,
    validation: Validation,
    ttl: Duration,
    /// The tolerated clock skew between servers.
    leeway: TimeDelta,
}

/// The claims that identify the caller.
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
    pub(super) fn new(keys: SigningKeys, ttl: Duration, leeway: Duration) -> Self {
        let mut validation = keys.validation();
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library uses the system clock; `verify` uses the injected one.
        validation.validate_exp = false;
        Self {
            keys,
            validation,
            ttl,
            leeway: TimeDelta::from_std(leeway).unwrap_or(TimeDelta::zero()),
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
    ) -> Result<SecretString> {
        let payload = Payload {
            claims,
            typ: TYPE.to_owned(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat: now.timestamp(),
            exp: (now + expires_in).timestamp(),
        };
        jsonwebtoken::encode(&self.keys.header(), &payload, self.keys.encoding())
            .map(SecretString::from)
            .map_err(ServiceError::internal)
    }

    /// Verifies a token; returns its claims and its expiry.
    pub(super) fn verify(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<(Claims, DateTime<Utc>), AuthFailure> {
        let payload = self.decode(token).ok_or(AuthFailure::TokenInvalid)?;
        let leeway = self.leeway.num_seconds();
        let is_premature = payload.iat > now.timestamp() + leeway;
        if payload.typ != TYPE || is_premature {
            return Err(AuthFailure::TokenInvalid);
        }
        let ends = payload.exp.saturating_add(leeway);
        if ends <= now.timestamp() {
            return Err(AuthFailure::TokenExpired);
        }
        let expires_at = DateTime::from_timestamp(ends, 0).ok_or(AuthFailure::TokenInvalid)?;
        Ok((payload.claims, expires_at))
    }

    /// Returns the payload of a token with a valid signature of one of our keys.
    fn decode(&self, token: &str) -> Option<Payload> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let key = self.keys.decoding(&header)?;
        let data = jsonwebtoken::decode::<Payload>(token, key, &self.validation).ok()?;
        Some(data.claims)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::auth::SignatureAlgorithm;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn tokens(secret: &str, algorithm: SignatureAlgorithm, leeway: u64) -> AccessTokens {
        let keys = SigningKeys::new(algorithm, &secret.into(), None).unwrap();
        AccessTokens::new(keys, Duration::from_mins(15), Duration::from_secs(leeway))
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

    #[test]
    fn accepts_a_token_until_it_expires_with_a_tolerance_of_the_leeway() {
        for leeway in [0, 30] {
            let ours = tokens(SECRET, SignatureAlgorithm::HS256, leeway);
            let token = ours.issue(claims(), now(), ours.ttl()).unwrap();
            let at = |moment| {
                let verified = ours.verify(token.expose_secret(), moment);
                verified.map(|(claims, expires_at)| (claims.sid, expires_at))
            };
            let leeway = TimeDelta::seconds(i64::try_from(leeway).unwrap());
            let end = now() + TimeDelta::minutes(15) + leeway;
            let accepted = Ok((claims().sid, end));
            let second = TimeDelta::seconds(1);
            assert_eq!(at(now()), accepted);
            assert_eq!(at(end - second), accepted);
            assert_eq!(at(end), Err(AuthFailure::TokenExpired));
            assert_eq!(at(now() - leeway), accepted);
            let early = at(now() - leeway - second);
            assert_eq!(
                early,
                Err(AuthFailure::TokenInvalid),
                "issued in the future"
            );
        }
    }

    #[test]
    fn rejects_other_keys_and_algorithms() {
        let ours = tokens(SECRET, SignatureAlgorithm::HS256, 0);
        for (secret, algorithm) in [
            (
                "another-secret-another-secret-123",
                SignatureAlgorithm::HS256,
            ),
            (SECRET, SignatureAlgorithm::HS512),
        ] {
            let other = tokens(secret, algorithm, 0);
            let token = other.issue(claims(), now(), ours.ttl()).unwrap();
            let outcome = ours.verify(token.expose_secret(), now()).map(|it| it.1);
            assert_eq!(outcome, Err(AuthFailure::TokenInvalid));
        }
    }

    #[test]
    fn rejects_other_claims_and_an_expiry_out_of_range() {
        let ours = tokens(SECRET, SignatureAlgorithm::HS256, 30);
        let outcome = |payload: &Value| {
            let token = jsonwebtoken::encode(&ours.keys.header(), payload, ours.keys.encoding());
            ours.verify(&token.unwrap(), now())
                .map(|(claims, _)| claims.sid)
        };
        for (claim, value) in [
            ("aud", json!("other")),
            ("iss", json!("other")),
            ("typ", json!("refresh")),
            ("exp", json!(i64::MAX)),
        ] {
            let mut payload = json!({
                "sub": Uuid::from_u128(1), "sid": Uuid::from_u128(2), "jti": Uuid::from_u128(3),
                "role": "engineer", "typ": TYPE, "iss": ISSUER, "aud": AUDIENCE,
                "iat": now().timestamp(), "exp": now().timestamp() + 900,
            });
            assert_eq!(outcome(&payload), Ok(Uuid::from_u128(2)));
            payload[claim] = value;
            assert_eq!(outcome(&payload), Err(AuthFailure::TokenInvalid), "{claim}");
        }
    }
}
