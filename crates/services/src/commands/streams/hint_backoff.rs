use std::time::Duration;

/// The first delay, which doubles with each fruitless catch-up.
const FIRST_DELAY: Duration = Duration::from_millis(10);

/// The maximum delay, which is also the longest time for which false hints can delay an event.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// The backoff of catch-ups that hints trigger and that find no events.
///
/// Events are committed before their hints are sent, so a catch-up after a genuine hint finds them. The
/// sender of false hints must not control how often the database is read.
#[derive(Debug, Default)]
pub(super) struct HintBackoff {
    fruitless: u32,
    is_hinted: bool,
}

impl HintBackoff {
    /// Records that a hint triggers the next catch-up, and returns the delay before it.
    pub(super) fn delay(&mut self) -> Duration {
        self.is_hinted = true;
        match self.fruitless.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_DELAY
                .saturating_mul(1 << doublings.min(16))
                .min(MAX_DELAY),
        }
    }

    /// Records whether a catch-up found events.
    pub(super) fn record(&mut self, found: bool) {
        if found {
            self.fruitless = 0;
        } else if self.is_hinted {
            self.fruitless = self.fruitless.saturating_add(1);
        }
        self.is_hinted = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(backoff: &mut HintBackoff, count: usize) -> Vec<u128> {
        let next = |_| {
            let delay = backoff.delay();
            backoff.record(false);
            delay.as_millis()
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn delays_double_until_a_catch_up_finds_events() {
        let mut backoff = HintBackoff::default();
        let expected = [0, 10, 20, 40, 80, 160, 320, 500, 500];
        assert_eq!(delays(&mut backoff, 9), expected);
        backoff.delay();
        backoff.record(true);
        assert_eq!(delays(&mut backoff, 2), [0, 10]);
    }

    #[test]
    fn catch_ups_without_a_hint_do_not_count() {
        let mut backoff = HintBackoff::default();
        for _ in 0..100 {
            backoff.record(false);
        }
        assert_eq!(backoff.delay(), Duration::ZERO);
        backoff.fruitless = u32::MAX;
        backoff.record(false);
        assert_eq!(backoff.delay(), MAX_DELAY);
    }
}
