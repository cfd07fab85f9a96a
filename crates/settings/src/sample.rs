/// Whether a secret is one that was published as an example or that anybody would guess.
///
/// A random secret of 32 bytes passes: each test below needs at least eight characters of it to
/// fall a certain way.
pub(crate) fn is_sample(secret: &str) -> bool {
    let plain: String = secret
        .to_lowercase()
        .chars()
        .filter(|c| !matches!(c, '-' | '_' | '.' | ' '))
        .collect();
    let marked = MARKERS.iter().any(|marker| plain.contains(marker));
    let rest = WORDS
        .iter()
        .fold(plain.clone(), |rest, word| rest.replace(word, ""));
    marked || is_repetition(&plain) || rest.chars().count() < MIN_REST
}

/// Phrases that examples carry so that nobody keeps them.
const MARKERS: &[&str] = &[
    "changeme",
    "replaceme",
    "changethis",
    "placeholder",
    "yoursecret",
];

/// Words that make a secret longer but not harder to guess.
const WORDS: &[&str] = &[
    "secret",
    "password",
    "example",
    "sample",
    "default",
    "production",
    "development",
    "token",
    "super",
    "jwt",
    "key",
    "test",
];

/// Characters that must be left of a secret once the obvious words are gone.
const MIN_REST: usize = 16;

fn is_repetition(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=bytes.len() / 2).any(|period| {
        bytes
            .iter()
            .zip(bytes.iter().skip(period))
            .all(|(a, b)| a == b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_and_obvious_secrets_are_samples() {
        for secret in [
            "development-sample-secret-change-me",
            "sample-token-key-change-me-before-production",
            "change-me-change-me-change-me-change-me",
            "Change_Me_7c1f0b6f4f1e9d2a8b5c3d4e6f708192",
            "secretsecretsecretsecretsecretse",
            "secret-secret-secret-secret-secret",
            "super-secret-jwt-key-for-production",
            "12345678901234567890123456789012",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(is_sample(secret), "{secret}");
        }
    }

    #[test]
    fn random_secrets_are_not_samples() {
        for secret in [
            "7c1f0b6f4f1e9d2a8b5c3d4e6f7081927c1f0b6f4f1e9d2a",
            "q0Jm3vXz8Lw2Nf6Kb1Rt5Yp9Hc4Gd7Se",
            "!#%&/()=?+*^<>|{}[]~,;:@$'`!\"9aZ",
        ] {
            assert!(!is_sample(secret), "{secret}");
        }
    }

    #[test]
    fn sixteen_characters_must_be_left_without_the_obvious_words() {
        assert!(is_sample("secret-0123456789abcde"));
        assert!(!is_sample("secret-0123456789abcdef"));
    }
}
