/// Returns whether a secret is a published sample or easy to guess.
///
/// A random secret of 32 bytes passes: each check fails only if at least eight of its characters
/// have certain values.
pub(crate) fn is_weak(secret: &str) -> bool {
    let plain: String = secret
        .to_lowercase()
        .chars()
        .filter(|c| !matches!(c, '-' | '_' | '.' | ' '))
        .collect();
    let is_sample = SAMPLE_PHRASES
        .split(' ')
        .any(|phrase| plain.contains(phrase));
    let rest = COMMON_WORDS
        .split(' ')
        .fold(plain.clone(), |rest, word| rest.replace(word, ""));
    is_sample || is_repetition(&plain) || rest.chars().count() < MIN_REST
}

/// Phrases that mark the secrets of examples, separated by spaces.
const SAMPLE_PHRASES: &str = "changeme replaceme changethis placeholder yoursecret";

/// Words that make a secret longer but not harder to guess.
const COMMON_WORDS: &str =
    "secret password example sample default production development token super jwt key test";

/// Minimum length of a secret without its common words.
const MIN_REST: usize = 16;

fn is_repetition(text: &str) -> bool {
    let bytes = text.as_bytes();
    let repeats = |period| bytes.windows(period + 1).all(|it| it.first() == it.last());
    (1..=bytes.len() / 2).any(repeats)
}
