//! Counters of use of the embedded authority: how many validations today and this month, by UTC.
//!
//! `authority serve` counts, in a file of its own beside the log; what other processes ask in passing is not counted.

use std::path::{Path, PathBuf};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::files;

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// The day of the newest validation.
    day: Date,
    /// The validations of that day.
    pub(crate) today: u64,
    /// The validations of that day's month.
    pub(crate) month: u64,
}

/// The longest file of counters that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024;

/// Where a state directory keeps them.
pub(crate) fn file(state: &Path) -> PathBuf {
    state.join("usage.json")
}

impl Counters {
    /// Nothing counted yet.
    #[cfg(feature = "serve")]
    pub(crate) fn zero(now: Timestamp) -> Self {
        Self { day: day(now), today: 0, month: 0 }
    }

    /// What a state directory keeps of them; nothing where there is no file, or none that can be read.
    pub(crate) fn kept(state: &Path, now: Timestamp) -> Option<Self> {
        let bytes = files::read_limited(&file(state), FILE_BYTES_MAX).ok()?;
        serde_json::from_slice(&bytes).ok().map(|counters: Self| counters.on(now))
    }

    /// Counts one validation.
    #[cfg(feature = "serve")]
    pub(crate) fn count(&mut self, now: Timestamp) {
        *self = self.on(now);
        self.today += 1;
        self.month += 1;
    }

    /// The counters as they are at a time: a new day, and a new month, begin at zero.
    pub(crate) fn on(self, now: Timestamp) -> Self {
        let day = day(now);
        let same_month = (day.year(), day.month()) == (self.day.year(), self.day.month());
        Self {
            day,
            today: if day == self.day { self.today } else { 0 },
            month: if same_month { self.month } else { 0 },
        }
    }
}

fn day(now: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(now).date()
}
