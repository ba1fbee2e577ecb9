//! Decides which of what was found is reported: every place once, as the first kind that fits it.

use alloc::{format, vec, vec::Vec};
use core::ops::Range;

use super::{
    form::Form,
    leak::{Encoding, Leak, LeakKind, Tally},
    scanner::{LEAKS_MAX, Scanner},
};
use crate::key::Fingerprint;

/// Something that was found in a window.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Where in the window.
    pub(super) range: Range<usize>,
    pub(super) what: What,
    pub(super) encoding: Encoding,
    pub(super) fingerprint: Fingerprint,
    /// What all secrets of its form begin with.
    pub(super) beginning: &'static str,
}

/// What was found: as [`LeakKind`], by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Configured { secret: usize },
    Known,
    Form(Form),
    Pattern { index: usize },
}

impl What {
    /// Kinds of a lower rank hide those of a higher one at the same place.
    fn rank(self) -> u8 {
        match self {
            Self::Configured { .. } => 0,
            Self::Known => 1,
            Self::Form(_) => 2,
            Self::Pattern { .. } => 3,
        }
    }
}

/// What was found, with its place in the object.
#[derive(Debug)]
struct Candidate {
    start: u64,
    end: u64,
    line: u64,
    what: What,
    encoding: Encoding,
    fingerprint: Fingerprint,
    beginning: &'static str,
    allowed: bool,
}

/// What was found and not reported yet, since something that hides it may still come.
#[derive(Debug)]
pub(super) struct Settling {
    waiting: Vec<Candidate>,
    /// The reach of what was settled and is not allowed, by rank: for each, the largest end.
    ends: [u64; 3],
    /// The largest end of a form that is allowed. It hides only what lies within it.
    allowed_end: u64,
    /// For each secret, the end of the last leak.
    ends_of_secrets: Vec<u64>,
    tally: Tally,
    /// How many leaks of the object are listed: the last ones of the list.
    listed: usize,
}

impl Settling {
    pub(super) fn start(secrets: usize) -> Self {
        Self {
            waiting: Vec::new(),
            ends: [0; 3],
            allowed_end: 0,
            ends_of_secrets: vec![0; secrets],
            tally: Tally::default(),
            listed: 0,
        }
    }

    pub(super) fn add(&mut self, base: u64, found: Found, line: u64, allowed: bool) {
        let Found { range, what, encoding, fingerprint, beginning } = found;
        let (start, end) = (base + range.start as u64, base + range.end as u64);
        self.waiting.push(Candidate { start, end, line, what, encoding, fingerprint, beginning, allowed });
    }

    /// Reports what begins before the horizon. Nothing that overlaps it is found any more.
    pub(super) fn settle(&mut self, scanner: &Scanner, horizon: u64, found: &mut Vec<Leak>) {
        // A plain writing comes before one that begins at the same place, and a longer one before a shorter.
        self.waiting.sort_unstable_by_key(|it| (it.start, it.what.rank(), u64::MAX - it.end, it.what, it.encoding));
        let later = self.waiting.partition_point(|it| it.start < horizon);
        let candidates = core::mem::take(&mut self.waiting);
        for (number, candidate) in candidates.iter().enumerate().take(later) {
            let is_first = self.is_first_of_its_kind(candidate);
            let rank = usize::from(candidate.what.rank());
            let hidden_by_earlier = self.ends.iter().take(rank).any(|&end| end > candidate.start);
            let behind = candidates[number + 1..].iter().take_while(|behind| behind.start < candidate.end);
            let mut behind = behind.filter(|behind| !behind.allowed);
            let hidden_by_later = behind.any(|behind| behind.what.rank() < candidate.what.rank());
            if is_first
                && !candidate.allowed
                && let Some(end) = self.ends.get_mut(rank)
            {
                *end = candidate.end.max(*end);
            }
            if is_first && !hidden_by_earlier && !hidden_by_later {
                self.report(scanner, candidate, found);
            }
        }
        self.waiting = candidates;
        self.waiting.drain(..later);
    }

    /// A secret is reported once at a place, also where it was found by several cores, or overlaps itself.
    fn is_first_of_its_kind(&mut self, candidate: &Candidate) -> bool {
        let end = match candidate.what {
            What::Configured { secret } => &mut self.ends_of_secrets[secret],
            What::Known => &mut self.ends[1],
            What::Form(_) if candidate.allowed => {
                let is_first = candidate.start >= self.allowed_end.max(self.ends[2]);
                if is_first {
                    self.allowed_end = candidate.end;
                }
                return is_first;
            }
            What::Form(_) if candidate.end <= self.allowed_end => return false,
            What::Form(_) => &mut self.ends[2],
            What::Pattern { .. } => return candidate.end > self.allowed_end,
        };
        let is_first = candidate.start >= *end;
        if is_first {
            *end = candidate.end;
        }
        is_first
    }

    fn report(&mut self, scanner: &Scanner, candidate: &Candidate, found: &mut Vec<Leak>) {
        if candidate.allowed {
            self.tally.allowed += 1;
            return;
        }
        self.tally.leaks += 1;
        if self.listed == LEAKS_MAX && !self.gives_way(candidate, found) {
            return;
        }
        self.listed += 1;
        let what = match candidate.what {
            What::Configured { secret } => LeakKind::Configured { name: scanner.watch.secrets[secret].name.clone() },
            What::Known => LeakKind::Known,
            What::Form(form) => LeakKind::Form(form),
            What::Pattern { index } => LeakKind::Pattern { index },
        };
        found.push(Leak {
            what,
            encoding: candidate.encoding,
            offset: candidate.start,
            line: candidate.line,
            shown: format!("{}****", candidate.beginning),
            fingerprint: candidate.fingerprint,
        });
    }

    /// Whether the last leak that only looks like a secret was taken off the list, for one that is known to be one.
    fn gives_way(&mut self, candidate: &Candidate, found: &mut Vec<Leak>) -> bool {
        match candidate.what {
            What::Configured { .. } | What::Known => {}
            What::Form(_) | What::Pattern { .. } => return false,
        }
        let first = found.len().saturating_sub(self.listed);
        let last = found[first..].iter().rposition(|leak| !leak.what.is_known_for_certain());
        if let Some(last) = last {
            found.remove(first + last);
            self.listed -= 1;
        }
        last.is_some()
    }

    pub(super) fn tally(self) -> Tally {
        self.tally
    }
}
