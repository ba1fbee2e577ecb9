//! Requests that were refused, for whoever reads the log: anybody can send one, so not each is a line.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// After one line about refusals of a kind, the next one comes no sooner; those between are counted.
const LINE_PAUSE: Duration = Duration::from_secs(10 * 60);

/// What was refused, by its code.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<&'static str, Seen>>);

#[derive(Debug)]
struct Seen {
    said_at: Instant,
    /// How many came since then.
    unsaid: u64,
}

impl Refusals {
    /// One more request was refused: the line that is due, if one is.
    pub(super) fn note(&self, code: &'static str, why: &str, now: Instant) -> Option<String> {
        let mut seen = self.seen();
        let of_code = seen.get(code);
        if of_code.is_some_and(|seen| now < seen.said_at + LINE_PAUSE) {
            seen.entry(code).and_modify(|seen| seen.unsaid += 1);
            return None;
        }
        let unsaid = of_code.map_or(0, |seen| seen.unsaid);
        seen.insert(code, Seen { said_at: now, unsaid: 0 });
        let besides = if unsaid == 0 { String::new() } else { format!(" ({unsaid} like it since the last such line)") };
        Some(format!("a request was refused: {why}{besides}"))
    }

    /// Lines about those that were only counted.
    pub(super) fn rest(&self) -> Vec<String> {
        let seen = self.seen();
        let counted = seen.iter().filter(|(_, seen)| seen.unsaid > 0);
        counted.map(|(code, seen)| format!("refused since the last such line: {} (`{code}`)", seen.unsaid)).collect()
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<&'static str, Seen>> {
        // A count cannot be half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_kind_is_said_and_the_others_are_counted() {
        let (refusals, begun) = (Refusals::default(), Instant::now());
        let note = |code, secs| refusals.note(code, "why", begun + Duration::from_secs(secs));
        assert_eq!(note("a", 0).as_deref(), Some("a request was refused: why"));
        assert_eq!(note("b", 1).as_deref(), Some("a request was refused: why"));
        for _ in 0..1000 {
            assert_eq!(note("a", 599), None);
        }
        assert_eq!(refusals.rest(), ["refused since the last such line: 1000 (`a`)"]);
        let counted = "a request was refused: why (1000 like it since the last such line)";
        assert_eq!(note("a", 600).as_deref(), Some(counted));
        assert_eq!(note("a", 601), None);
        assert_eq!(note("b", 601).as_deref(), Some("a request was refused: why"));
        assert_eq!(refusals.rest(), ["refused since the last such line: 1 (`a`)"]);
    }
}
