use std::time::Duration;

/// The first pause; it doubles with each further look.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause, also the longest time for which false hints can delay an event.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Paces the looks at the database that hints cause and that find nothing.
///
/// What a hint of another process says is committed before it is sent, so a look finds it. Looks that
/// find nothing follow from false hints, whose sender must not control how often the database is
/// read.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    fruitless: u32,
    is_hinted: bool,
}

impl Pacing {
    /// Notes that the next look follows from a hint; returns how long to wait before it.
    pub(super) fn hinted(&mut self) -> Duration {
        self.is_hinted = true;
        match self.fruitless.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_PAUSE
                .saturating_mul(1 << doublings.min(16))
                .min(LONGEST_PAUSE),
        }
    }

    /// Notes whether a look found anything.
    pub(super) fn looked(&mut self, found: bool) {
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

    fn pauses(pacing: &mut Pacing, count: usize) -> Vec<u128> {
        let next = |_| {
            let pause = pacing.hinted();
            pacing.looked(false);
            pause.as_millis()
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn pauses_double_until_a_look_finds_something() {
        let mut pacing = Pacing::default();
        let expected = [0, 10, 20, 40, 80, 160, 320, 500, 500];
        assert_eq!(pauses(&mut pacing, 9), expected);
        pacing.hinted();
        pacing.looked(true);
        assert_eq!(pauses(&mut pacing, 2), [0, 10]);
    }

    #[test]
    fn looks_without_a_hint_do_not_count() {
        let mut pacing = Pacing::default();
        for _ in 0..100 {
            pacing.looked(false);
        }
        assert_eq!(pacing.hinted(), Duration::ZERO);
        pacing.fruitless = u32::MAX;
        pacing.looked(false);
        assert_eq!(pacing.hinted(), LONGEST_PAUSE);
    }
}
