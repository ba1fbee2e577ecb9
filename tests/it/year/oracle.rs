//! What must be heard, and when: computed from the terms of the license alone, apart from the rules of the product.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

/// Seconds in an hour.
pub(super) const HOUR: i64 = 60 * 60;
/// Seconds in a day.
pub(super) const DAY: i64 = 24 * HOUR;

/// The thresholds where the file names none, the tightest first.
const DAYS: [i64; 3] = [1, 7, 30];
/// Without an entry for so long, nobody has looked.
const GAP: i64 = 3 * DAY;
/// A look that brings nothing new is an entry again after so long.
const AGAIN: i64 = 20 * HOUR;
/// The hours before the end of a grace at which a key that nobody saw in use is told of, the tightest first.
const GRACE_HOURS: [i64; 3] = [6, 24, 72];

/// No run needs longer than this from its start to its last look at the clock, in seconds.
pub(super) const RUN_MAX: i64 = 180;

/// What the authority says of the license from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    /// From when on.
    pub(super) since: i64,
    /// The key that the project has.
    pub(super) key: String,
    /// When that key was issued.
    pub(super) issued: i64,
    /// When it ends.
    pub(super) ends: i64,
}

impl Term {
    /// The one alert about the end that stands at a moment, by its name.
    fn alert(&self, now: i64) -> Option<String> {
        let left = self.ends - now;
        let third = (self.ends - self.issued) / 3;
        let name = format!("{}:{}", fingerprint(&self.key), self.ends);
        if left <= 0 {
            return Some(format!("expired:{name}"));
        }
        let days = DAYS.into_iter().find(|days| left <= (days * DAY).min(third))?;
        Some(format!("expiring:{name}:{days}"))
    }
}

/// The first 16 hex digits of a hash over a label and the key.
fn fingerprint(key: &str) -> String {
    let hash = Sha256::new().chain_update("license-fp:v1\0").chain_update(key).finalize();
    hash[..8].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// A rotation whose new key was brought to the stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rotated {
    /// Its id.
    pub(super) id: String,
    /// When the old key dies.
    pub(super) grace_ends: i64,
    /// From when on the new key was in use.
    pub(super) adopted: Option<i64>,
}

impl Rotated {
    fn alert(&self, now: i64) -> Option<String> {
        if self.adopted.is_some_and(|adopted| adopted <= now) {
            return None;
        }
        let left = self.grace_ends - now;
        let hours = if left <= 0 { 0 } else { GRACE_HOURS.into_iter().find(|hours| left <= hours * HOUR)? };
        Some(format!("not_adopted:{}:{hours}", self.id))
    }
}

/// Everything that alerts rest on.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// The terms, the earliest first.
    pub(super) terms: Vec<Term>,
    /// The rotation, if there was one.
    pub(super) rotated: Option<Rotated>,
    /// When a look was written down last, and what it said.
    last: Option<(i64, String)>,
}

impl Facts {
    pub(super) fn of(terms: Vec<Term>) -> Self {
        Self { terms, ..Self::default() }
    }

    /// What the authority says at a moment.
    pub(super) fn term(&self, now: i64) -> &Term {
        self.terms.iter().rev().find(|term| term.since <= now).expect("the first term begins before the first run")
    }

    /// The names of what stands at a moment.
    pub(super) fn standing(&self, now: i64) -> BTreeSet<String> {
        let end = self.term(now).alert(now);
        let rotated = self.rotated.as_ref().and_then(|rotated| rotated.alert(now));
        let unwatched = self.last.as_ref().filter(|(last, _)| now - last > GAP);
        let unwatched = unwatched.map(|(last, _)| format!("unwatched:{last}"));
        [end, rotated, unwatched].into_iter().flatten().collect()
    }

    /// Whether nothing changes while a run at this moment is at work, so that it does not matter how long it takes.
    pub(super) fn is_clear(&self, now: i64) -> bool {
        let later = now + RUN_MAX;
        let last = self.last.as_ref().map(|(last, _)| now - last);
        let is_near = |bound: i64| last.is_some_and(|since| (since - bound).abs() <= 2 * RUN_MAX);
        self.standing(now) == self.standing(later)
            && self.term(now) == self.term(later)
            && !is_near(AGAIN)
            && !is_near(GAP)
    }

    /// Somebody looks.
    pub(super) fn looks(&mut self, now: i64) {
        let term = self.term(now);
        let said = format!("{} {} {}", term.key, term.ends, term.ends <= now);
        let is_entry = self.last.as_ref().is_none_or(|(at, before)| now - at >= AGAIN || *before != said);
        if is_entry {
            self.last = Some((now, said));
        }
    }
}

/// One moment at which the watch ran.
#[derive(Debug, Clone)]
pub(super) struct Tick {
    /// When.
    pub(super) at: i64,
    /// What stood.
    pub(super) standing: BTreeSet<String>,
    /// How many ran at once.
    pub(super) runners: usize,
    /// How many of them were killed.
    pub(super) killed: usize,
}

/// What a sink heard in the run of a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    /// The number of the tick.
    pub(super) tick: usize,
    /// The sink.
    pub(super) sink: &'static str,
    /// The dedup key.
    pub(super) key: String,
    /// Whether it stands or is over.
    pub(super) what: What,
}

/// What is said of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// It stands.
    Stands,
    /// It is over.
    Over,
}

/// What a life came to, for the test to see that it saw something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Alerts that were due.
    pub(super) alerts: usize,
    /// Runs that were killed.
    pub(super) kills: usize,
    /// Messages about an alert that a sink had heard before.
    pub(super) again: usize,
}

/// Every sink heard what it must, when it must, as often as it may, and nothing else.
pub(super) fn judge(name: &str, ticks: &[Tick], heard: &[Heard], sinks: &[&'static str]) -> Tally {
    let mut tally = Tally { kills: ticks.iter().map(|tick| tick.killed).sum(), ..Tally::default() };
    let mut stands: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, tick) in ticks.iter().enumerate() {
        tick.standing.iter().for_each(|alert| stands.entry(alert).or_default().push(at));
    }
    tally.alerts = stands.len();
    for sink in sinks {
        let heard: Vec<&Heard> = heard.iter().filter(|heard| heard.sink == *sink).collect();
        for one in &heard {
            assert!(stands.contains_key(alert_of(&one.key)), "{name}: made up: {one:?}");
        }
        for (alert, when) in &stands {
            let of_it = |what| heard.iter().filter(move |one| alert_of(&one.key) == *alert && one.what == what);
            let said: Vec<usize> = of_it(What::Stands).map(|one| one.tick).collect();
            let over: Vec<usize> = of_it(What::Over).map(|one| one.tick).collect();
            tally.again += said.len().saturating_sub(1);
            Story { name, sink, alert, ticks, when }.judge(&said, &over);
        }
    }
    tally
}

/// The name of an alert without that of the environment.
fn alert_of(key: &str) -> &str {
    key.strip_prefix("license:production:").unwrap_or_else(|| panic!("`{key}` is no name of an alert"))
}

/// What one sink heard of one alert.
struct Story<'a> {
    name: &'a str,
    sink: &'a str,
    alert: &'a str,
    ticks: &'a [Tick],
    /// The numbers of the ticks at which it stood.
    when: &'a [usize],
}

impl Story<'_> {
    fn judge(&self, said: &[usize], over: &[usize]) {
        let (first, last) = (self.when[0], *self.when.last().unwrap());
        assert_eq!(self.when, (first..=last).collect::<Vec<_>>(), "the test's plan has it stand twice: {}", self.alert);
        let tells = format!(
            "{}: `{}` to {}: stood in the runs {first} to {last}, said in {said:?}, taken back in {over:?}, killed {:?}",
            self.name,
            self.alert,
            self.sink,
            (first..self.ticks.len().min(last + 9)).filter(|at| self.ticks[*at].killed > 0).collect::<Vec<_>>()
        );
        // Said while it stands: none early, none after a renewal, none that a tighter one has overtaken.
        assert!(said.iter().all(|at| self.when.contains(at)), "at the wrong time\n{tells}");
        // At the first run that finds it; a run that is killed leaves it to the next one. A gap between two looks is
        // over with the look that tells it.
        let lasts_to = if self.is_gap() { first } else { last };
        let must = self.first_whole(first, lasts_to);
        assert!(must.is_none_or(|must| said.iter().any(|at| *at <= must)), "too late, or never\n{tells}");
        assert!(said.len() <= 1 + self.kills(first, must.unwrap_or(last)), "too often\n{tells}");
        // Taken back at the first run that finds it over.
        let may_be_early = self.is_gap() && self.ticks[first].runners > 1;
        let since = if may_be_early { first } else { last + 1 };
        assert!(over.iter().all(|at| *at >= since), "taken back while it stands\n{tells}");
        let end = self.ticks.len().saturating_sub(1);
        let must = self.first_whole(last + 1, end);
        let was_heard = !said.is_empty();
        assert!(!was_heard || must.is_none_or(|must| over.iter().any(|at| *at <= must)), "not taken back\n{tells}");
        let kills = self.kills(last + 1, must.unwrap_or(end));
        assert!(over.len() <= 1 + kills, "taken back too often\n{tells}");
        // What nobody can have heard is not taken back.
        assert!(was_heard || over.is_empty() || self.kills(first, last) > 0, "taken back and never said\n{tells}");
    }

    fn is_gap(&self) -> bool {
        self.alert.starts_with("unwatched:")
    }

    /// The first of these runs in which nobody was killed.
    fn first_whole(&self, from: usize, to: usize) -> Option<usize> {
        (from..=to).find(|at| self.ticks.get(*at).is_some_and(|tick| tick.killed == 0))
    }

    fn kills(&self, from: usize, to: usize) -> usize {
        (from..=to).filter_map(|at| self.ticks.get(at)).map(|tick| tick.killed).sum()
    }
}
