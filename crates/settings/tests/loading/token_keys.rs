use sovd_settings::{ExposeSecret, JwtAlgorithm, Sources};

use crate::setup::{DATABASE, Dir, assert_contains, env, error, load};

/// 32 bytes, the fewest that are accepted.
const SECRET: &str = "7c1f0b6f4f1e9d2a8b5c3d4e6f708192";

fn with<const N: usize>(variables: [(&str, &str); N]) -> Sources {
    let mut sources = env(variables);
    let url = ("DATABASE_URL".to_owned(), DATABASE.to_owned());
    sources.env.extend([url]);
    sources
}

fn production<const N: usize>(variables: [(&str, &str); N]) -> Sources {
    let mut sources = with(variables);
    let name = "SOVD_ENVIRONMENT".to_owned();
    sources.env.insert(name, "production".to_owned());
    sources
}

#[test]
fn an_algorithm_with_key_pairs_needs_the_private_one_and_no_secret() {
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
fn a_secret_signs_though_a_private_key_is_there() {
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
fn a_private_key_of_several_lines_comes_from_a_file() {
    let pem = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----";
    let dir = Dir::with([("key.pem", &format!("{pem}\n"))]);
    let loaded = load(with([
        ("JWT_ALGORITHM", "EdDSA"),
        ("JWT_PRIVATE_KEY_FILE", &dir.path("key.pem")),
    ]));

    let key = loaded.settings.auth.signing_key().unwrap();
    assert_eq!(key.expose_secret(), pem);
    let shown = format!("{loaded:?} {:?}", loaded.describe());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn production_judges_the_previous_secret_like_the_current_one() {
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
fn another_algorithm_is_refused_and_asks_for_no_key() {
    for name in ["none", "RS384", "PS256", "hs256", "EDDSA"] {
        let error = error(production([("JWT_ALGORITHM", name)]));
        assert_contains(
            &error,
            "expected one of HS256, HS384, HS512, RS256, ES256, EdDSA",
        );
        assert!(!error.contains("is not set"), "{error}");
    }
}

#[test]
fn clocks_differ_by_5_seconds_unless_told_otherwise() {
    let auth = load(with([])).settings.auth;
    assert_eq!(auth.leeway().as_secs(), 5);
}
