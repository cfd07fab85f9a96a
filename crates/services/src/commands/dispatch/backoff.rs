use std::time::Duration;

use sovd_domain::Random;

/// How long to wait before a task is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The longest pause after the first try.
    pub first: Duration,
    /// The longest pause of all.
    pub longest: Duration,
}

impl Backoff {
    /// The pause after `attempts` tries in vain before this one: it doubles each time, less up to
    /// half of it by chance, so that what failed together does not come back together.
    pub(super) fn pause(self, attempts: i32, random: &dyn Random) -> Duration {
        let doublings = u32::try_from(attempts).unwrap_or_default().min(31);
        let longest = self.first.saturating_mul(1 << doublings).min(self.longest);
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(random.between(micros / 2, micros))
    }
}

#[cfg(test)]
mod tests {
    use sovd_domain::SeededRandom;

    use super::*;

    #[test]
    fn doubles_up_to_its_limit_and_differs() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            longest: Duration::from_mins(1),
        };
        let random = SeededRandom::new(1);
        for (attempts, longest) in [(0, 1), (1, 2), (2, 4), (5, 32), (6, 60), (1000, 60)] {
            let longest = Duration::from_secs(longest);
            let pauses: Vec<_> = (0..100).map(|_| backoff.pause(attempts, &random)).collect();
            assert!(
                pauses
                    .iter()
                    .all(|pause| (longest / 2..=longest).contains(pause))
            );
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
    }
}
