//! Tells the sinks what the authority told, beside the server.
//!
//! The trail says what is owed: it is looked at when this begins, whenever something came in, and for as long as some
//! sink did not hear. One that failed is left alone for a while, whatever comes in, and the others hear at once. What is
//! left when this ends, the next run or the next `status` tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use license_core::{
    alert::{Task, messages},
    trail::Folded,
};

use crate::{
    config::{Config, EnvName},
    context::{self, Context},
    failpoint,
    failure::Failure,
    journal::Journal,
    narrator::Narrator,
    signals::Signals,
    tell::{self, Done, Sinks, Telling},
};

/// The pauses before a sink that failed is told again: the first, then twice as long each time, up to the longest. So
/// late a sink that is well again may hear of something new.
const PAUSE_MIN: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
/// How long a signal may go unnoticed.
const SIGNAL_LATENCY: Duration = Duration::from_millis(100);

/// The environments in which something came in, until somebody looks.
#[derive(Debug)]
pub(super) struct Inbox {
    wanted: Mutex<Wanted>,
    news: Condvar,
}

#[derive(Debug)]
struct Wanted {
    names: BTreeSet<EnvName>,
    serving: Serving,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serving {
    On,
    Over,
}

impl Inbox {
    /// One that begins with these.
    pub(super) fn of(names: BTreeSet<EnvName>) -> Self {
        Self { wanted: Mutex::new(Wanted { names, serving: Serving::On }), news: Condvar::new() }
    }

    /// Something came in.
    pub(super) fn came_in(&self, name: EnvName) {
        self.wanted().names.insert(name);
        self.news.notify_all();
    }

    /// Nothing comes in any more.
    pub(super) fn close(&self) {
        self.wanted().serving = Serving::Over;
        self.news.notify_all();
    }

    /// Waits for a moment, or for something to come in.
    fn wait(&self, time: Duration) -> MutexGuard<'_, Wanted> {
        let nothing = |wanted: &mut Wanted| wanted.names.is_empty() && wanted.serving == Serving::On;
        let (wanted, _) =
            self.news.wait_timeout_while(self.wanted(), time, nothing).unwrap_or_else(PoisonError::into_inner);
        wanted
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        // Nothing panics while it holds the lock.
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells until a signal comes, or nothing comes in any more.
pub(super) struct Forwarder {
    pub(super) ctx: Arc<Context>,
    pub(super) config: Arc<Config>,
    pub(super) sinks: Sinks,
    pub(super) signals: Signals,
}

impl Forwarder {
    /// Begins with what runs before left.
    pub(super) fn run(&self, inbox: &Inbox) {
        let pause_min = failpoint::forward_secs(&self.ctx).map_or(PAUSE_MIN, Duration::from_secs);
        let mut pauses = Pauses { pause_min, all: BTreeMap::new() };
        // Who owes something, with when it failed last, or since when it owes.
        let mut owing = BTreeMap::new();
        loop {
            let (names, over) = match self.wait(inbox, pauses.first_end()) {
                Woken::By(names) => (Vec::from_iter(names), None),
                Woken::ByTime => (longest_ago_first(&owing), Some(Instant::now())),
                Woken::ToStop => return,
            };
            for name in names {
                match self.look(&name, &mut pauses) {
                    Owes::Nothing => drop(owing.remove(&name)),
                    Owes::Untried => drop(owing.entry(name).or_insert_with(Instant::now)),
                    Owes::Failed => drop(owing.insert(name, Instant::now())),
                }
            }
            if let Some(over) = over {
                pauses.forget(over);
            }
        }
    }

    fn wait(&self, inbox: &Inbox, due: Option<Instant>) -> Woken {
        loop {
            let mut wanted = inbox.wait(SIGNAL_LATENCY);
            if self.signals.stop().is_some() || wanted.serving == Serving::Over {
                return Woken::ToStop;
            }
            if !wanted.names.is_empty() {
                return Woken::By(std::mem::take(&mut wanted.names));
            }
            if due.is_some_and(|due| Instant::now() >= due) {
                return Woken::ByTime;
            }
        }
    }

    /// Tells what an environment owes, as far as nobody is to be left alone.
    fn look(&self, name: &EnvName, pauses: &mut Pauses) -> Owes {
        let narrator = Narrator::new(&self.ctx, None);
        let mut told = Vec::new();
        let looked = self.tell(name, pauses, &narrator, &mut told);
        let (trail, now) = (Who::Environment(name.clone()), Instant::now());
        let mut failed = Owes::Untried;
        for telling in &told {
            narrator.note(&words(name, telling));
            let sink = Who::Sink(telling.sink.clone());
            match telling.done {
                Done::Told | Done::ToldOver => pauses.end(&sink),
                Done::Failed { .. } => {
                    failed = Owes::Failed;
                    pauses.begin(sink, now);
                }
                Done::Left => pauses.begin(trail.clone(), now),
            }
        }
        match looked {
            Ok(Left::Nothing) => {
                pauses.end(&trail);
                Owes::Nothing
            }
            Ok(Left::Something) => failed,
            Err(failure) => {
                narrator.failure(&failure, None);
                pauses.begin(trail, now);
                Owes::Failed
            }
        }
    }

    fn tell(
        &self,
        name: &EnvName,
        pauses: &Pauses,
        narrator: &Narrator<'_>,
        told: &mut Vec<Telling>,
    ) -> Result<Left, Failure> {
        let environment = &self.config.environments[name];
        let _one_at_a_time = self.sinks.turn(&self.config);
        let mut journal = Journal::open(&self.ctx, &self.config, environment, narrator)?;
        let asked = |folded: &Folded, sinks: &[String], run: &_, now, told: &[Telling]| {
            let failed = |sink: &String| told.iter().any(|telling| telling.failed() && telling.sink == *sink);
            let is_left_alone = |sink: &String| failed(sink) || pauses.has(&Who::Sink(sink.clone()), Instant::now());
            let tasks = messages(folded.alerts(), sinks, run, now).into_iter();
            let mut tasks: Vec<Task> = tasks.filter_map(|task| without(task, &is_left_alone)).collect();
            // By when it was tried last: one message that a sink does not take keeps no other from it for ever.
            tasks.sort_by_key(|task| match task {
                Task::Resend { notice, .. } => Some(notice.until),
                Task::Announce { .. } | Task::Resolve { .. } | Task::Close(_) | Task::Leave { .. } => None,
            });
            tasks
        };
        tell::tell(&self.ctx, &mut journal, &asked, &self.sinks, &self.signals, told)?;
        let left = messages(journal.folded().alerts(), &self.sinks.names(), journal.run(), context::now());
        Ok(if left.is_empty() { Left::Nothing } else { Left::Something })
    }
}

/// Whether an environment's trail names somebody who is still to be told.
enum Left {
    Nothing,
    Something,
}

/// What an environment owes after a look.
enum Owes {
    Nothing,
    /// Something to a sink that is left alone, or that another run tells.
    Untried,
    /// Something that was tried in vain.
    Failed,
}

/// What ended a wait.
enum Woken {
    By(BTreeSet<EnvName>),
    ByTime,
    ToStop,
}

/// Those that owe something; so that none waits for ever behind one whose message no sink takes.
fn longest_ago_first(owing: &BTreeMap<EnvName, Instant>) -> Vec<EnvName> {
    let mut names: Vec<EnvName> = owing.keys().cloned().collect();
    names.sort_by_key(|name| owing[name]);
    names
}

/// A task for the sinks that are not left alone.
fn without(task: Task, is_left_alone: &impl Fn(&String) -> bool) -> Option<Task> {
    match task {
        Task::Resend { notice, mut sinks } => {
            sinks.retain(|sink| !is_left_alone(sink));
            (!sinks.is_empty()).then_some(Task::Resend { notice, sinks })
        }
        Task::Announce { .. } | Task::Resolve { .. } | Task::Close(_) | Task::Leave { .. } => Some(task),
    }
}

/// Who failed, and is left alone for a while: what comes in makes that neither shorter nor longer.
struct Pauses {
    pause_min: Duration,
    all: BTreeMap<Who, Pause>,
}

/// A sink, or an environment whose trail could not be used or is in another run's hands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Sink(String),
    Environment(EnvName),
}

struct Pause {
    length: Duration,
    end: Instant,
}

impl Pauses {
    fn begin(&mut self, who: Who, now: Instant) {
        let length = match self.all.get(&who) {
            Some(pause) if now < pause.end => return,
            Some(pause) => (pause.length * 2).min(PAUSE_MAX),
            None => self.pause_min,
        };
        self.all.insert(who, Pause { length, end: now + length });
    }

    fn end(&mut self, who: &Who) {
        self.all.remove(who);
    }

    fn has(&self, who: &Who, now: Instant) -> bool {
        self.all.get(who).is_some_and(|pause| now < pause.end)
    }

    fn first_end(&self) -> Option<Instant> {
        self.all.values().map(|pause| pause.end).min()
    }

    /// Forgets those that were over when everybody was looked at, and did not begin again.
    fn forget(&mut self, over: Instant) {
        self.all.retain(|_, pause| over < pause.end);
    }
}

fn words(name: &EnvName, telling: &Telling) -> String {
    let Telling { title, sink, done, .. } = telling;
    match done {
        Done::Told | Done::ToldOver => format!("{name}: told `{sink}`: {title}"),
        Done::Failed { why, next } => format!("{name}: `{sink}` was NOT told: {title}: {why}; {next}"),
        Done::Left => format!(
            "{name}: `{sink}` is left alone for now: that it is being told was recorded, by another run or by this one, and not yet how that ended: {title}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_with_each_failure_after_it_up_to_the_longest() {
        let mut pauses = Pauses { pause_min: PAUSE_MIN, all: BTreeMap::new() };
        let sink = Who::Sink("team".to_owned());
        let (mut now, mut lengths) = (Instant::now(), Vec::new());
        for _ in 0..6 {
            pauses.begin(sink.clone(), now);
            let end = pauses.first_end().unwrap();
            let length = end.duration_since(now);
            let within = now + length / 2;
            pauses.begin(sink.clone(), within);
            pauses.forget(within);
            assert_eq!(pauses.first_end(), Some(end), "a failure within it changes nothing");
            assert!(pauses.has(&sink, within) && !pauses.has(&sink, end));
            lengths.push(length.as_secs());
            now = end;
        }
        assert_eq!(lengths, [60, 120, 240, 480, 900, 900]);
        pauses.forget(now);
        assert_eq!(pauses.first_end(), None, "nobody is left alone, and nothing wakes for it");
        pauses.begin(sink.clone(), now);
        pauses.end(&sink);
        pauses.begin(sink, now);
        assert_eq!(pauses.first_end(), Some(now + PAUSE_MIN), "whoever took something begins anew");
    }
}
