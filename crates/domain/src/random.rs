//! Random numbers, whose source is a parameter so that tests can control it.

#[cfg(any(test, feature = "testing"))]
pub use seeded::SeededRandom;
use uuid::{Builder, Uuid};

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills `bytes` with random data.
    fn fill(&self, bytes: &mut [u8]);

    /// Returns a random UUID (RFC 9562, version 4).
    fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Returns a number from `low` to `high` inclusive, or `low` if `high` is less.
    fn between(&self, low: u64, high: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        let drawn = u64::from_le_bytes(bytes);
        match high.checked_sub(low).map(|span| span.checked_add(1)) {
            None => low,
            Some(None) => drawn,
            Some(Some(span)) => low + drawn % span,
        }
    }
}

/// The cryptographically secure generator of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(
            clippy::expect_used,
            reason = "without randomness the program cannot issue tokens safely"
        )]
        getrandom::fill(bytes).expect("the operating system has a random generator");
    }
}

#[cfg(any(test, feature = "testing"))]
mod seeded {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Random;

    /// A reproducible generator for tests. Not cryptographically secure.
    #[derive(Debug)]
    pub struct SeededRandom(AtomicU64);

    impl SeededRandom {
        /// Creates a generator whose sequence depends only on `seed`.
        pub const fn new(seed: u64) -> Self {
            Self(AtomicU64::new(seed))
        }

        /// Returns the next number of `SplitMix64` (Steele, Lea and Flood, 2014).
        fn next(&self) -> u64 {
            const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
            let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }
    }

    impl Random for SeededRandom {
        fn fill(&self, bytes: &mut [u8]) {
            for chunk in bytes.chunks_mut(8) {
                for (byte, random) in chunk.iter_mut().zip(self.next().to_le_bytes()) {
                    *byte = random;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_determines_the_sequence() {
        let (one, two) = (SeededRandom::new(7), SeededRandom::new(7));
        assert_eq!(one.uuid(), two.uuid());
        assert_ne!(one.uuid(), one.uuid());
    }

    #[test]
    fn between_includes_both_ends() {
        let random = SeededRandom::new(1);
        let drawn: Vec<u64> = (0..200).map(|_| random.between(3, 5)).collect();
        assert!(drawn.iter().all(|n| (3..=5).contains(n)));
        assert!(drawn.contains(&3) && drawn.contains(&5));
        assert_eq!(random.between(4, 4), 4);
        assert_eq!(random.between(5, 3), 5);
        random.between(0, u64::MAX);
    }
}
