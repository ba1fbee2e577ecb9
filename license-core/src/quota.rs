//! How near an account is to the end of its validations.
//!
//! Every validation spends some of a month's quota, and an account that has none left judges no key: better known
//! before the deploy that finds it out.

use alloc::{format, string::String};
use core::fmt;

/// From this part of the limit on, in percent, somebody should know.
pub const WARN_PERCENT: u64 = 80;

/// What an authority says of an account's validations. What it did not say is not guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// How many were used today.
    pub used_today: Option<u64>,
    /// How many were used this month.
    pub used: Option<u64>,
    /// How many may be used in a month.
    pub limit: Option<Limit>,
}

/// How many validations a month has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The authority says that there is no limit.
    Unlimited,
    /// So many.
    AtMost(u64),
}

/// How much is left of a month's validations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// The authority did not say enough to tell.
    NotKnown,
    /// There is no limit.
    Unlimited,
    /// Enough.
    Enough {
        /// How much is used, in whole percent.
        percent: u64,
    },
    /// [`WARN_PERCENT`] or more are used.
    Little {
        /// How much is used, in whole percent; under 100.
        percent: u64,
    },
    /// As many are used as there are, or more.
    Nothing,
}

impl Quota {
    /// How much is left.
    pub fn room(&self) -> Room {
        let (used, limit) = match (self.used, self.limit) {
            (_, Some(Limit::Unlimited)) => return Room::Unlimited,
            (None, _) | (_, None) => return Room::NotKnown,
            (Some(used), Some(Limit::AtMost(limit))) => (used, limit),
        };
        if used >= limit {
            return Room::Nothing;
        }
        // Under 100, for less is used than there is.
        let percent = u64::try_from(u128::from(used) * 100 / u128::from(limit)).unwrap_or(100);
        if percent >= WARN_PERCENT { Room::Little { percent } } else { Room::Enough { percent } }
    }

    /// What somebody should know, in a sentence without a full stop; nothing while there is enough, or nobody can tell.
    pub fn warning(&self) -> Option<String> {
        match self.room() {
            Room::NotKnown | Room::Unlimited | Room::Enough { .. } => None,
            Room::Little { percent } => Some(format!(
                "{percent} % of this month's validations are used: when all are, further ones will be refused, and no key is judged"
            )),
            Room::Nothing => Some(String::from(
                "this month's validations are used up: further ones will be refused, and no key is judged",
            )),
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.used, self.limit) {
            (Some(used), Some(Limit::AtMost(limit))) => write!(f, "{used} of {limit} validations used this month")?,
            (Some(used), Some(Limit::Unlimited)) => write!(f, "{used} validations used this month, without a limit")?,
            (Some(used), None) => write!(f, "{used} validations used this month; the limit is not stated")?,
            (None, Some(Limit::AtMost(limit))) => {
                write!(f, "{limit} validations a month; how many are used is not stated")?;
            }
            (None, Some(Limit::Unlimited)) => f.write_str("validations without a limit")?,
            (None, None) => f.write_str("neither the validations that are used nor their limit are stated")?,
        }
        match self.room() {
            Room::Enough { percent } | Room::Little { percent } => write!(f, ", {percent} %"),
            Room::NotKnown | Room::Unlimited | Room::Nothing => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(used: Option<u64>, limit: Option<Limit>) -> Quota {
        Quota { used_today: None, used, limit }
    }

    #[test]
    fn from_eighty_percent_on_there_is_little_and_at_the_limit_nothing() {
        use Limit::{AtMost, Unlimited};
        for (used, limit, room) in [
            (None, None, Room::NotKnown),
            (Some(7), None, Room::NotKnown),
            (None, Some(AtMost(500)), Room::NotKnown),
            (None, Some(AtMost(0)), Room::NotKnown),
            (None, Some(Unlimited), Room::Unlimited),
            (Some(u64::MAX), Some(Unlimited), Room::Unlimited),
            (Some(0), Some(AtMost(500)), Room::Enough { percent: 0 }),
            (Some(399), Some(AtMost(500)), Room::Enough { percent: 79 }),
            (Some(400), Some(AtMost(500)), Room::Little { percent: 80 }),
            (Some(499), Some(AtMost(500)), Room::Little { percent: 99 }),
            (Some(500), Some(AtMost(500)), Room::Nothing),
            (Some(501), Some(AtMost(500)), Room::Nothing),
            // What is rounded up would warn too early: 799 of 1000 are not yet 80 %.
            (Some(799), Some(AtMost(1000)), Room::Enough { percent: 79 }),
            (Some(0), Some(AtMost(0)), Room::Nothing),
            (Some(1), Some(AtMost(0)), Room::Nothing),
            (Some(0), Some(AtMost(1)), Room::Enough { percent: 0 }),
            (Some(1), Some(AtMost(1)), Room::Nothing),
            (Some(0), Some(AtMost(u64::MAX)), Room::Enough { percent: 0 }),
            (Some(u64::MAX - 1), Some(AtMost(u64::MAX)), Room::Little { percent: 99 }),
            (Some(u64::MAX), Some(AtMost(u64::MAX)), Room::Nothing),
            (Some(u64::MAX), Some(AtMost(1)), Room::Nothing),
            (Some(u64::MAX / 2), Some(AtMost(u64::MAX)), Room::Enough { percent: 49 }),
        ] {
            let quota = quota(used, limit);
            assert_eq!(quota.room(), room, "{used:?} {limit:?}");
            let warns = matches!(room, Room::Little { .. } | Room::Nothing);
            assert_eq!(quota.warning().is_some(), warns, "{used:?} {limit:?}");
        }
    }

    #[test]
    fn what_is_not_stated_is_said_to_be_so() {
        use Limit::{AtMost, Unlimited};
        for (used, limit, words) in [
            (Some(412), Some(AtMost(500)), "412 of 500 validations used this month, 82 %"),
            (Some(500), Some(AtMost(500)), "500 of 500 validations used this month"),
            (Some(412), Some(Unlimited), "412 validations used this month, without a limit"),
            (Some(412), None, "412 validations used this month; the limit is not stated"),
            (None, Some(AtMost(500)), "500 validations a month; how many are used is not stated"),
            (None, Some(Unlimited), "validations without a limit"),
            (None, None, "neither the validations that are used nor their limit are stated"),
        ] {
            assert_eq!(alloc::string::ToString::to_string(&quota(used, limit)), words);
        }
    }
}
