//! The days before the end of a license at which somebody is told.

use alloc::vec::Vec;

use jiff::{SignedDuration, Timestamp};

/// The most days before an expiry that may be asked for.
pub const DAYS_MAX: u32 = 3650;
/// The most thresholds.
pub const THRESHOLDS_MAX: usize = 16;
/// Seconds in a day.
const DAY_SECS: i64 = 24 * 60 * 60;
/// No warning takes up more of a license's life than one part of this many.
const LIFE_PARTS: i64 = 3;

/// The thresholds, the widest first; at least one, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days(Vec<u32>);

/// Why a list of days is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDays {
    /// There is nothing in it.
    #[error("there is no threshold")]
    Empty,
    /// There are too many.
    #[error("there are more than {THRESHOLDS_MAX} thresholds")]
    TooMany,
    /// A threshold is 0, negative, or further away than any license.
    #[error("{0} is not a number of days from 1 to {DAYS_MAX}")]
    OutOfRange(i64),
    /// A threshold stands there twice.
    #[error("{0} stands there twice")]
    Twice(u32),
}

impl Days {
    /// The thresholds in any order.
    pub fn of(days: &[i64]) -> Result<Self, NotDays> {
        if days.is_empty() {
            return Err(NotDays::Empty);
        }
        if days.len() > THRESHOLDS_MAX {
            return Err(NotDays::TooMany);
        }
        let mut sorted = Vec::new();
        for &days in days {
            let whole = u32::try_from(days).ok().filter(|days| (1..=DAYS_MAX).contains(days));
            let whole = whole.ok_or(NotDays::OutOfRange(days))?;
            if sorted.contains(&whole) {
                return Err(NotDays::Twice(whole));
            }
            sorted.push(whole);
        }
        sorted.sort_unstable_by(|one, other| other.cmp(one));
        Ok(Self(sorted))
    }

    /// The thresholds, the widest first.
    pub fn widest_first(&self) -> &[u32] {
        &self.0
    }

    /// The tightest threshold that was crossed, in days; none before the widest one.
    ///
    /// A threshold that takes up more than a third of the license's life counts from a third on, so that a license of
    /// ten days is no alarm on the day it is issued. Where two come to the same moment, the tighter one stands for both.
    pub(super) fn crossed(&self, life: &Life, now: Timestamp) -> Option<u32> {
        let left = life.ends_at.duration_since(now);
        self.0.iter().rev().copied().find(|days| left <= life.lead(*days))
    }

    /// The tightest threshold of all, if it was crossed.
    pub(super) fn crossed_tightest(&self, life: &Life, now: Timestamp) -> Option<u32> {
        let tightest = self.0.last().copied()?;
        (life.ends_at.duration_since(now) <= life.lead(tightest)).then_some(tightest)
    }
}

impl Default for Days {
    /// 30, 7 and 1.
    fn default() -> Self {
        Self([30, 7, 1].into())
    }
}

/// From when to when a key works.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    /// When it was issued, where that is known.
    pub(super) issued_at: Option<Timestamp>,
    /// When it ends.
    pub(super) ends_at: Timestamp,
}

impl Life {
    /// How long before the end a threshold lies.
    fn lead(&self, days: u32) -> SignedDuration {
        let asked = SignedDuration::from_secs(i64::from(days) * DAY_SECS);
        let Some(issued_at) = self.issued_at else { return asked };
        let whole = self.ends_at.duration_since(issued_at);
        // A license that ends before it begins says nothing about its length.
        if whole <= SignedDuration::ZERO {
            asked
        } else {
            asked.min(SignedDuration::from_secs(whole.as_secs() / LIFE_PARTS))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn thresholds_are_days_in_any_order_and_none_twice() {
        assert_eq!(Days::of(&[1, 30, 7]).unwrap(), Days::default());
        for (days, why) in [
            (&[][..], NotDays::Empty),
            (&[30, 0], NotDays::OutOfRange(0)),
            (&[-7], NotDays::OutOfRange(-7)),
            (&[3651], NotDays::OutOfRange(3651)),
            (&[i64::MAX], NotDays::OutOfRange(i64::MAX)),
            (&[7, 30, 7], NotDays::Twice(7)),
            (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17], NotDays::TooMany),
        ] {
            assert_eq!(Days::of(days), Err(why), "{days:?}");
        }
    }

    #[test]
    fn the_tightest_threshold_that_was_crossed_counts() {
        let life = Life { issued_at: None, ends_at: at("2030-01-31T12:00:00Z") };
        for (now, crossed) in [
            ("2030-01-01T11:59:59Z", None),
            ("2030-01-01T12:00:00Z", Some(30)),
            ("2030-01-24T11:59:59Z", Some(30)),
            ("2030-01-24T12:00:00Z", Some(7)),
            ("2030-01-30T12:00:00Z", Some(1)),
            ("2030-02-05T00:00:00Z", Some(1)),
        ] {
            assert_eq!(Days::default().crossed(&life, at(now)), crossed, "{now}");
        }
        assert_eq!(Days::default().crossed_tightest(&life, at("2030-01-24T12:00:00Z")), None);
        assert_eq!(Days::default().crossed_tightest(&life, at("2030-01-30T12:00:00Z")), Some(1));
    }

    #[test]
    fn a_short_license_is_not_warned_about_for_more_than_a_third_of_its_life() {
        let issued_at = Some(at("2030-01-01T00:00:00Z"));
        let life = |ends_at: &str| Life { issued_at, ends_at: at(ends_at) };
        for (ends_at, now, crossed) in [
            // Ten days: 30 and 7 both begin at 3 days and 8 hours, and 7 stands for both.
            ("2030-01-11T00:00:00Z", "2030-01-07T15:59:59Z", None),
            ("2030-01-11T00:00:00Z", "2030-01-07T16:00:00Z", Some(7)),
            ("2030-01-11T00:00:00Z", "2030-01-10T00:00:00Z", Some(1)),
            // A month: only 30 is too long.
            ("2030-01-31T00:00:00Z", "2030-01-20T23:59:59Z", None),
            ("2030-01-31T00:00:00Z", "2030-01-21T00:00:00Z", Some(30)),
            ("2030-01-31T00:00:00Z", "2030-01-24T00:00:00Z", Some(7)),
            // A day.
            ("2030-01-02T00:00:00Z", "2030-01-01T15:59:59Z", None),
            ("2030-01-02T00:00:00Z", "2030-01-01T16:00:00Z", Some(1)),
            // It ends before it begins.
            ("2029-12-31T00:00:00Z", "2029-12-30T00:00:00Z", Some(1)),
        ] {
            assert_eq!(Days::default().crossed(&life(ends_at), at(now)), crossed, "{ends_at} {now}");
        }
    }
}
