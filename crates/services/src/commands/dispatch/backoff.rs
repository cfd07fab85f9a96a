use std::time::Duration;

use sovd_domain::Random;

/// Delays between the attempts at a task.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Longest delay after the first attempt.
    pub first: Duration,
    /// Longest delay.
    pub longest: Duration,
}

impl Backoff {
    /// Returns the delay after `attempts` earlier failures. It doubles each time, and up to half of it is
    /// subtracted at random, so that tasks that failed together are not retried together.
    pub(super) fn delay(self, attempts: i32, random: &dyn Random) -> Duration {
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
    fn doubles_up_to_its_limit_with_jitter() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            longest: Duration::from_mins(1),
        };
        let random = SeededRandom::new(1);
        for (attempts, longest) in [(0, 1), (1, 2), (2, 4), (5, 32), (6, 60), (1000, 60)] {
            let longest = Duration::from_secs(longest);
            let delays: Vec<_> = (0..100).map(|_| backoff.delay(attempts, &random)).collect();
            assert!(
                delays
                    .iter()
                    .all(|delay| (longest / 2..=longest).contains(delay))
            );
            assert!(delays.iter().any(|delay| *delay != delays[0]));
        }
    }
}
