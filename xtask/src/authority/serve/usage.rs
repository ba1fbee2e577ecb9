//! The counters of use while the server runs. Their file may lag behind by a second.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use crate::{
    authority::counters::{self, Counters},
    files,
};

/// The counters and the file that keeps them.
#[derive(Debug)]
pub(super) struct Usage {
    file: PathBuf,
    counted: Mutex<Counted>,
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    counters: Counters,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Saved,
    Changed,
}

impl Usage {
    /// Reads what was counted before; a file that cannot be read counts from zero.
    pub(super) fn open(state: &Path, now: Timestamp) -> Self {
        let counters = Counters::kept(state, now).unwrap_or_else(|| Counters::zero(now));
        Self { file: counters::file(state), counted: Mutex::new(Counted { counters, state: State::Saved }) }
    }

    /// Counts one validation.
    pub(super) fn count(&self, now: Timestamp) {
        let mut counted = self.counted();
        let mut counters = counted.counters;
        counters.count(now);
        *counted = Counted { counters, state: State::Changed };
    }

    /// What was counted up to now.
    pub(super) fn counters(&self, now: Timestamp) -> Counters {
        self.counted().counters.on(now)
    }

    /// Writes the counters, if they changed and there is a place: a server that was only asked creates nothing.
    pub(super) fn save(&self) -> io::Result<()> {
        let counters = {
            let mut counted = self.counted();
            if counted.state == State::Saved || !self.file.parent().is_some_and(Path::is_dir) {
                return Ok(());
            }
            counted.state = State::Saved;
            counted.counters
        };
        let saved =
            serde_json::to_vec(&counters).map_err(io::Error::from).and_then(|bytes| files::replace(&self.file, &bytes));
        if saved.is_err() {
            self.counted().state = State::Changed;
        }
        saved
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_and_a_month_begin_at_zero() {
        let state = tempfile::tempdir().unwrap();
        let usage = Usage::open(state.path(), at("2026-03-30T23:00:00Z"));
        usage.count(at("2026-03-30T23:00:00Z"));
        usage.count(at("2026-03-31T01:00:00Z"));
        let counters = usage.counters(at("2026-03-31T02:00:00Z"));
        assert_eq!((counters.today, counters.month), (1, 2));
        let counters = usage.counters(at("2026-04-01T00:00:00Z"));
        assert_eq!((counters.today, counters.month), (0, 0));
    }

    #[test]
    fn what_was_saved_is_counted_on() {
        let state = tempfile::tempdir().unwrap();
        let now = at("2026-03-30T12:00:00Z");
        let usage = Usage::open(state.path(), now);
        usage.count(now);
        usage.save().unwrap();
        let again = Usage::open(state.path(), now);
        again.count(now);
        assert_eq!(again.counters(now).today, 2);
    }

    #[test]
    fn a_state_directory_that_is_not_there_is_not_made() {
        let state = tempfile::tempdir().unwrap();
        let nowhere = state.path().join("nowhere");
        let usage = Usage::open(&nowhere, at("2026-03-30T12:00:00Z"));
        usage.count(at("2026-03-30T12:00:00Z"));
        usage.save().unwrap();
        assert!(!nowhere.exists());
    }
}
