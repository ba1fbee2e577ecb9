//! Clocks that disagree with this machine's. Which one is right, nobody knows: it is said, and what depends on it waits.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use license_core::gate::clocks_disagree;

use super::Status;

/// A clock that is too far from ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongClock {
    /// Whose it is.
    pub(crate) whose: Whose,
    /// How far it is ahead of ours.
    pub(crate) ahead: SignedDuration,
}

/// Whose clock it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The authority's.
    Authority,
    /// That of the machine of the application.
    App,
    /// That of the machine that wrote the newest entry of the trail: an entry is from the future.
    Trail,
}

impl Whose {
    /// The word that stands in documents.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::App => "app",
            Self::Trail => "trail",
        }
    }
}

/// Every clock that disagrees. An entry that is old says nothing about a clock; one from the future does.
pub(super) fn wrong(status: &Status<'_>, newest_entry: Option<Timestamp>, now: Timestamp) -> Vec<WrongClock> {
    let of_trail = newest_entry.map(|at| at.duration_since(now)).filter(SignedDuration::is_positive);
    let of_app = status.app.as_ref().and_then(|app| app.glance.ahead);
    let clocks = [(Whose::Authority, status.license.authority_ahead()), (Whose::App, of_app), (Whose::Trail, of_trail)];
    let wrong = |(whose, ahead): (Whose, Option<SignedDuration>)| {
        ahead.filter(|ahead| clocks_disagree(*ahead)).map(|ahead| WrongClock { whose, ahead })
    };
    clocks.into_iter().filter_map(wrong).collect()
}

impl fmt::Display for WrongClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = Span(self.ahead);
        let which = if self.ahead.is_negative() { "behind" } else { "ahead of" };
        match self.whose {
            Whose::Authority => write!(
                f,
                "the authority's clock is {by} {which} this machine's: until they agree, alerts are sent only where both say so"
            ),
            Whose::App => write!(f, "the clock of the application's machine is {by} {which} this machine's"),
            Whose::Trail => write!(
                f,
                "the newest entry of the trail is from {by} in the future: the clock of whoever wrote it was ahead, or this \
                 machine's is behind"
            ),
        }
    }
}

/// How far, rounded to the largest unit of which there are two: a header is good to a second.
struct Span(SignedDuration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        let secs = self.0.unsigned_abs().as_secs();
        let units = [(DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")];
        match units.into_iter().find(|(unit, _)| secs >= 2 * unit) {
            Some((unit, word)) => write!(f, "{} {word}", (secs + unit / 2) / unit),
            None => write!(f, "{secs} seconds"),
        }
    }
}
