//! Tells the sinks what the authority told, beside the server.
//!
//! The trail says what is owed: it is looked at when this begins, whenever something came in, and for as long as some
//! sink did not hear, with growing pauses. What is left when this ends, the next run or the next `status` tells.

use std::{
    collections::BTreeSet,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use license_core::{alert::messages, trail::Folded};

use crate::{
    config::{Config, EnvName},
    context::Context,
    failpoint,
    failure::Failure,
    journal::Journal,
    narrator::Narrator,
    signals::Signals,
    tell::{self, Done, Sinks, Telling},
};

/// The pauses before a sink is told again: the first, then twice as long each time, up to the longest.
const PAUSE_MIN: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(60 * 60);
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
        let (mut owing, mut pause) = (BTreeSet::new(), self.pause_min());
        loop {
            let due = (!owing.is_empty()).then(|| Instant::now() + pause);
            match self.wait(inbox, due) {
                Woken::By(names) => {
                    owing.extend(names);
                    pause = self.pause_min();
                }
                Woken::ByTime => pause = (pause * 2).min(PAUSE_MAX),
                Woken::ToStop => return,
            }
            owing.retain(|name| self.still_owes(name));
        }
    }

    fn pause_min(&self) -> Duration {
        failpoint::forward_secs(&self.ctx).map_or(PAUSE_MIN, Duration::from_secs)
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

    /// Tells what an environment owes; whether it still owes something.
    fn still_owes(&self, name: &EnvName) -> bool {
        let narrator = Narrator::new(&self.ctx, None);
        match self.tell(name, &narrator) {
            Ok(told) => {
                for telling in &told {
                    narrator.note(&words(name, telling));
                }
                told.iter().any(|telling| !matches!(telling.done, Done::Told | Done::ToldOver))
            }
            Err(failure) => {
                narrator.failure(&failure, None);
                true
            }
        }
    }

    fn tell(&self, name: &EnvName, narrator: &Narrator<'_>) -> Result<Vec<Telling>, Failure> {
        let environment = &self.config.environments[name];
        let _one_at_a_time = self.sinks.turn(&self.config);
        let mut journal = Journal::open(&self.ctx, &self.config, environment, narrator)?;
        let mut told = Vec::new();
        let asked = |folded: &Folded, sinks: &[String], run: &_, now| messages(folded.alerts(), sinks, run, now);
        tell::tell(&self.ctx, &mut journal, &asked, &self.sinks, &self.signals, &mut told)?;
        Ok(told)
    }
}

/// What ended a pause.
enum Woken {
    By(BTreeSet<EnvName>),
    ByTime,
    ToStop,
}

fn words(name: &EnvName, telling: &Telling) -> String {
    let Telling { title, sink, done, .. } = telling;
    match done {
        Done::Told | Done::ToldOver => format!("{name}: told `{sink}`: {title}"),
        Done::Failed { why, next } => format!("{name}: `{sink}` was NOT told: {title}: {why}; {next}"),
        Done::Left => format!("{name}: another run tells `{sink}`: {title}"),
    }
}
