//! When the next request may be sent: a rate limit that one thread meets holds all of them back.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A rate limit is not believed to last longer, in seconds: a day.
const HOLD_SECS_MAX: u64 = 24 * 60 * 60;

/// The moment before which no thread sends anything.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// Holds every thread back for this long from now. A hold that lasts longer already stays.
    pub(super) fn hold(&self, time: Duration) {
        let until = Instant::now() + time.min(Duration::from_secs(HOLD_SECS_MAX));
        let mut not_before = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = (*not_before).max(Some(until));
    }

    /// How much longer to wait, if at all.
    pub(super) fn left(&self) -> Option<Duration> {
        let not_before = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(not_before?.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_hold_counts_and_ends() {
        let pace = Pace::default();
        assert_eq!(pace.left(), None);
        pace.hold(Duration::from_secs(100));
        pace.hold(Duration::from_secs(1));
        assert!(pace.left().unwrap() > Duration::from_secs(90));
        let short = Pace::default();
        short.hold(Duration::ZERO);
        assert_eq!(short.left(), None);
    }

    #[test]
    fn an_absurd_hold_is_cut_to_a_day() {
        let pace = Pace::default();
        pace.hold(Duration::MAX);
        assert!(pace.left().unwrap() <= Duration::from_secs(HOLD_SECS_MAX));
    }
}
