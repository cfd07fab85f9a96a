use sovd_settings::{ExposeSecret, JwtAlgorithm};

use crate::setup::{Dir, SECRET, assert_contains, error, load, production, with};

#[test]
fn an_asymmetric_algorithm_requires_a_private_key_and_no_secret() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let missing = error(production([("JWT_ALGORITHM", algorithm)]));
        assert_contains(
            &missing,
            "auth.jwt_private_key is not set: set JWT_PRIVATE_KEY, or JWT_PRIVATE_KEY_FILE",
        );
        assert!(!missing.contains("jwt_secret"), "{missing}");
        let empty = error(production([
            ("JWT_ALGORITHM", algorithm),
            ("JWT_PRIVATE_KEY", ""),
        ]));
        assert_contains(&empty, "auth.jwt_private_key is not set");

        let auth = load(production([
            ("JWT_ALGORITHM", algorithm),
            ("JWT_PRIVATE_KEY", "a pem"),
            ("JWT_PREVIOUS_PUBLIC_KEY", "another"),
        ]))
        .settings
        .auth;
        assert_eq!(auth.signing_key().unwrap().expose_secret(), "a pem");
        assert_eq!(auth.previous_key().unwrap().expose_secret(), "another");
    }
}

#[test]
fn a_symmetric_algorithm_ignores_private_and_public_keys() {
    let auth = load(production([
        ("JWT_SECRET", SECRET),
        ("JWT_PRIVATE_KEY", "a pem"),
        ("JWT_PREVIOUS_PUBLIC_KEY", "another"),
    ]))
    .settings
    .auth;
    assert_eq!(auth.jwt_algorithm, JwtAlgorithm::Hs256);
    assert_eq!(auth.signing_key().unwrap().expose_secret(), SECRET);
    assert!(auth.previous_key().is_none());
}

#[test]
fn a_private_key_may_come_from_a_file() {
    let pem = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----";
    let dir = Dir::with([("key.pem", &format!("{pem}\n"))]);
    let loaded = load(with([
        ("JWT_ALGORITHM", "EdDSA"),
        ("JWT_PRIVATE_KEY_FILE", &dir.path("key.pem")),
    ]));

    let key = loaded.settings.auth.signing_key().unwrap();
    assert_eq!(key.expose_secret(), pem);
    let shown = format!("{loaded:?} {:?}", loaded.values);
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn production_validates_the_previous_secret_like_the_current_one() {
    let previous = |secret| production([("JWT_SECRET", SECRET), ("JWT_PREVIOUS_SECRET", secret)]);
    let auth = load(previous("6f708192a8b5c3d4e7c1f0b6f4f1e9d2"))
        .settings
        .auth;
    assert!(auth.previous_key().is_some());
    assert!(load(previous("")).settings.auth.previous_key().is_none());
    assert_contains(
        &error(previous(&SECRET[1..])),
        "auth.jwt_previous_secret = *** (from environment JWT_PREVIOUS_SECRET): expected at least \
         32 bytes in production",
    );
    assert_contains(
        &error(previous("sample-token-key-change-me-before-production")),
        "auth.jwt_previous_secret = *** (from environment JWT_PREVIOUS_SECRET): expected a random",
    );
}

#[test]
fn an_unknown_algorithm_requires_no_key() {
    for name in ["none", "RS384", "PS256", "hs256", "EDDSA"] {
        let error = error(production([("JWT_ALGORITHM", name)]));
        assert_contains(
            &error,
            "expected one of HS256, HS384, HS512, RS256, ES256, EdDSA",
        );
        assert!(!error.contains("is not set"), "{error}");
    }
}
