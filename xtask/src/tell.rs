//! Whom a run tells of what stands, of what is over, and of what the authority told.
//!
//! What is to be done is decided elsewhere, from the trail: an alert is due before it is sent, and sent is written
//! after. Two runs at once send it once; a run that is killed in between leaves it to the next, which sends it under the
//! same name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use license_core::{
    alert::{Alert, AlertEvent, AlertId, Over, Reached, Task, dedup_key, title},
    gate::CLOCK_SKEW_MAX_SECS,
    rotation::RunId,
    trail::{Event, Folded},
};

use crate::{
    config::{Config, TrailSettings},
    connect,
    context::{self, Context},
    failpoint,
    failure::Failure,
    journal::Journal,
    notify::{Message, News, Sink},
    signals::Signals,
};

/// The most entries about alerts that one run writes for one environment.
const TURNS_MAX: u32 = 256;
/// What a run may take beside the sending itself, in seconds; and how far the clock of another run may be ahead.
const MARGIN_SECS: u64 = 30 + CLOCK_SKEW_MAX_SECS.unsigned_abs();

/// The sinks of a run, opened.
pub(crate) struct Sinks {
    opened: BTreeMap<String, Sink>,
    wish: Wish,
    /// One remote takes one push at a time.
    turns: Mutex<()>,
}

/// Whether anybody is to be told at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Tell,
    BeSilent,
}

impl Sinks {
    /// Nobody is told, whoever is configured.
    pub(crate) fn silent() -> Self {
        Self { opened: BTreeMap::new(), wish: Wish::BeSilent, turns: Mutex::new(()) }
    }

    /// Whether nobody is told although somebody may be configured.
    pub(crate) fn are_silent(&self) -> bool {
        self.wish == Wish::BeSilent
    }

    /// Opens what `[alerts]` names: a sink that cannot be told is found before anybody is asked anything.
    pub(crate) fn open(ctx: &Context, config: &Config) -> Result<Self, Failure> {
        if let Some(problem) = config.problem_of_alerts() {
            return Err(problem.into());
        }
        let open = |(name, settings): (&String, _)| Ok((name.clone(), connect::sink(ctx, config, name, settings)?));
        let opened = config.alerts.sinks.iter().map(open).collect::<Result<_, Failure>>()?;
        Ok(Self { opened, wish: Wish::Tell, turns: Mutex::new(()) })
    }

    /// Waits until nobody else of this run writes to the same remote.
    pub(crate) fn turn(&self, config: &Config) -> Option<MutexGuard<'_, ()>> {
        match config.trail {
            TrailSettings::File => None,
            TrailSettings::Git { .. } => Some(self.turns.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.opened.keys().cloned().collect()
    }

    /// The longest that telling all of these may take: they are told at once.
    fn bound(&self, names: &[String]) -> Duration {
        names.iter().filter_map(|name| self.opened.get(name)).map(Sink::bound).max().unwrap_or_default()
    }
}

/// Somebody who was told, or was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Telling {
    /// The alert, in a sentence.
    pub(crate) title: String,
    /// Its name among all of them.
    pub(crate) dedup_key: String,
    /// The sink.
    pub(crate) sink: String,
    /// What came of it.
    pub(crate) done: Done,
}

/// What came of telling a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    /// It was told of the alert.
    Told,
    /// It was told that the alert is over.
    ToldOver,
    /// It did not accept it: the next run tries again.
    Failed {
        /// What was seen.
        why: String,
        /// What to do.
        next: String,
    },
    /// Another run is at it.
    Left,
}

impl Telling {
    /// Whether nobody was told.
    pub(crate) fn failed(&self) -> bool {
        matches!(self.done, Done::Failed { .. })
    }
}

/// What a run has to do, given what was said, the sinks that are open, the run's id, the time, and whom it told.
pub(crate) type Asked<'a> = &'a (dyn Fn(&Folded, &[String], &RunId, Timestamp, &[Telling]) -> Vec<Task> + 'a);

/// Does everything that is asked for, one alert after the other.
pub(crate) fn tell(
    ctx: &Context,
    journal: &mut Journal,
    asked: Asked<'_>,
    sinks: &Sinks,
    signals: &Signals,
    told: &mut Vec<Telling>,
) -> Result<(), Failure> {
    let mut tried = BTreeSet::new();
    for _ in 0..TURNS_MAX {
        if signals.stop().is_some() {
            return Ok(());
        }
        let run = journal.run().clone();
        let all = asked(journal.folded(), &sinks.names(), &run, context::now(), told);
        // What failed once in this run is for the next one.
        let is_for_now = |task: &&Task| match task {
            Task::Leave { .. } => false,
            Task::Close(_) => true,
            Task::Announce { .. } | Task::Resend { .. } | Task::Resolve { .. } => !tried.contains(&id(task)),
        };
        let Some(task) = all.iter().find(is_for_now) else {
            told.extend(all.iter().flat_map(|task| left(journal, task)));
            return Ok(());
        };
        match begin(ctx, journal, task, sinks) {
            Ok(Some(sending)) => {
                tried.insert(sending.id.clone());
                told.extend(send(ctx, journal, &sending, sinks, signals)?);
            }
            Ok(None) => {}
            // Somebody else wrote: what is to be done is decided anew.
            Err(Failure::Log(error)) if error.is_lost_race() => journal.refresh()?,
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Something that is about to be sent.
struct Sending {
    id: AlertId,
    alert: Alert,
    news: News,
    at: Timestamp,
    sinks: Vec<String>,
    /// Those that may have heard of it already: a run that died told them, or this is to be taken back from them.
    heard_before: BTreeSet<String>,
}

fn id(task: &Task) -> AlertId {
    match task {
        Task::Announce { id, .. } | Task::Close(id) => id.clone(),
        Task::Resend { notice, .. } | Task::Resolve { notice, .. } | Task::Leave { notice } => notice.id.clone(),
    }
}

/// Writes what a task begins with: nothing is sent before.
fn begin(ctx: &Context, journal: &mut Journal, task: &Task, sinks: &Sinks) -> Result<Option<Sending>, Failure> {
    let now = context::now();
    let until = |names: &[String]| {
        let bound = sinks.bound(names) + Duration::from_secs(MARGIN_SECS);
        now + SignedDuration::try_from(bound).unwrap_or(SignedDuration::ZERO)
    };
    let run = journal.run().clone();
    let (event, sending) = match task {
        Task::Leave { .. } => return Ok(None),
        Task::Close(id) => (AlertEvent::Closed { id: id.clone() }, None),
        Task::Announce { id, alert } => {
            let names = sinks.names();
            let due = AlertEvent::Due {
                id: id.clone(),
                alert: alert.clone(),
                sinks: names.clone(),
                run,
                until: until(&names),
            };
            let sending = Sending {
                id: id.clone(),
                alert: alert.clone(),
                news: News::Stands,
                at: now,
                sinks: names,
                heard_before: BTreeSet::new(),
            };
            (due, Some(sending))
        }
        Task::Resend { notice, sinks: names } => {
            let taken = AlertEvent::Taken { id: notice.id.clone(), sinks: names.clone(), run, until: until(names) };
            let (id, alert, sinks) = (notice.id.clone(), notice.alert.clone(), names.clone());
            let heard_before = notice.awaited.clone();
            (taken, Some(Sending { id, alert, news: News::Stands, at: notice.due_at, sinks, heard_before }))
        }
        Task::Resolve { notice, sinks: names, over } => {
            let taken = AlertEvent::Taken { id: notice.id.clone(), sinks: names.clone(), run, until: until(names) };
            let (id, alert, sinks) = (notice.id.clone(), notice.alert.clone(), names.clone());
            let heard_before = names.iter().cloned().collect();
            (taken, Some(Sending { id, alert, news: News::Over(*over), at: now, sinks, heard_before }))
        }
    };
    journal.append(Event::Alert(event))?;
    failpoint::reached(ctx, "alert-due");
    Ok(sending)
}

/// Tells all sinks at once, and writes down what each of them said.
fn send(
    ctx: &Context,
    journal: &mut Journal,
    sending: &Sending,
    sinks: &Sinks,
    signals: &Signals,
) -> Result<Vec<Telling>, Failure> {
    let environment = journal.environment().to_owned();
    let message = Message {
        dedup_key: dedup_key(&environment, &sending.id),
        environment: environment.clone(),
        alert: sending.alert.clone(),
        news: sending.news,
        at: sending.at,
        actor: ctx.actor(),
    };
    let chosen: Vec<(&String, &Sink)> =
        sending.sinks.iter().filter_map(|name| sinks.opened.get_key_value(name)).collect();
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = chosen.iter().map(|(_, sink)| scope.spawn(|| sink.tell(&message, signals))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    failpoint::reached(ctx, "alert-sent");
    let mut told = Vec::new();
    for ((name, _), answer) in chosen.into_iter().zip(answers) {
        let (id, sink) = (sending.id.clone(), name.clone());
        let (event, done) = match (answer, &sending.news) {
            (Ok(()), News::Over(Over::Gone | Over::Overtaken)) => (AlertEvent::Resolved { id, sink }, Done::ToldOver),
            (Ok(()), News::Stands | News::Test) => (AlertEvent::Sent { id, sink }, Done::Told),
            (Err(missed), _) => {
                let failed = Done::Failed { why: missed.why.clone(), next: missed.next };
                let reached = if sending.heard_before.contains(name) { Reached::Perhaps } else { missed.reached };
                (AlertEvent::Failed { id, sink, why: missed.why, reached }, failed)
            }
        };
        told.push(Telling {
            title: title(&environment, &sending.alert),
            dedup_key: message.dedup_key.clone(),
            sink: name.clone(),
            done,
        });
        journal.record(Event::Alert(event))?;
    }
    Ok(told)
}

/// What another run has in hand.
fn left(journal: &Journal, task: &Task) -> Vec<Telling> {
    let Task::Leave { notice } = task else { return Vec::new() };
    let environment = journal.environment();
    let telling = |sink: &String| Telling {
        title: title(environment, &notice.alert),
        dedup_key: dedup_key(environment, &notice.id),
        sink: sink.clone(),
        done: Done::Left,
    };
    notice.sinks.keys().map(telling).collect()
}
