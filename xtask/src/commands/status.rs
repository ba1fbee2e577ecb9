//! `status`: what runs, what the authority says of it, what was approved when it was deployed; and whom to tell.
//!
//! The smoke test after a deploy, and the watch that a schedule runs, are one command.

use std::{borrow::Cow, cell::Cell, collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use license_core::{
    Finding, Fingerprint, License, Outcome, Verdict,
    alert::{Alert, AutoRenew, Facts, LicenseFacts, Policy, Refusal, Standing, Task, messages, standing, tasks},
    finding::{Reason, clean},
    gate::judge_kept,
    health::{Difference, Expected},
    rotation::{self, Adoption},
    trail::{Deployed, Event, Folded, HealthRecord, Look, Looked, Trouble, since},
};

use crate::{
    authority::Authority,
    cli::StatusArgs,
    commands,
    config::{Config, Environment},
    connect,
    context::{self, Context},
    exit::Exit,
    failure::Failure,
    gate::{self, Basis, Force, Judgement},
    health::{self, Glance, Seen},
    journal::{self, Journal},
    keyring::Keyring,
    many::{self, Extent},
    narrator::Narrator,
    signals::Signals,
    tell::{self, Telling},
};

mod clock;
mod quota;
pub(crate) mod watch;

pub(crate) use clock::WrongClock;
pub(crate) use quota::{Account, NotKnown};

/// What was found out about every environment that was asked for.
#[derive(Debug)]
pub(crate) struct StatusReport<'a> {
    /// The environments, in that order.
    pub(crate) environments: Vec<Status<'a>>,
    /// The accounts at their authorities, by the names of those; none where nobody was asked.
    pub(crate) accounts: Vec<Account<'a>>,
    /// When the look began.
    pub(crate) at: Timestamp,
    /// The horizon of `--fail-within`.
    pub(crate) within: Option<Duration>,
    /// What an alert that stands does to the exit.
    pub(crate) attention: Attention,
}

/// What an alert that stands does to the exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attention {
    /// Nothing: it is shown.
    Shown,
    /// The exit tells it: `--exit-code`.
    Exit,
}

/// What was found out about one environment.
#[derive(Debug)]
pub(crate) struct Status<'a> {
    /// The environment.
    pub(crate) environment: &'a Environment,
    /// What is known of the license.
    pub(crate) license: Known,
    /// When that was found out.
    pub(crate) asked_at: Timestamp,
    /// What the application said; none where the file names no address.
    pub(crate) app: Option<App>,
    /// Every clock that disagrees with this machine's.
    pub(crate) clocks: Vec<WrongClock>,
    /// What should run, as far as the trail knows.
    pub(crate) deployed: Option<Deployed>,
    /// What has changed since that deploy.
    pub(crate) changed: Vec<Difference>,
    /// Where the rotation stands.
    pub(crate) rotation: rotation::State,
    /// Everything that the trail says, with what this run wrote.
    pub(crate) history: Folded,
    /// What people should hear.
    pub(crate) standing: Vec<Alert>,
    /// Whom this run told.
    pub(crate) told: Vec<Telling>,
    /// Where the trail ends, if this run wrote to it.
    pub(crate) trail: Option<license_core::chain::Head>,
    /// What kept the look from being recorded, or people from being told.
    pub(crate) failure: Option<Failure>,
}

/// What is known of a license.
#[derive(Debug)]
pub(crate) enum Known {
    /// It was judged just now.
    Judged(Judgement),
    /// It was looked up in the trail.
    Cached {
        /// What was seen.
        looked: Looked,
        /// What is found in that by today's clock; nothing where it has no license.
        checks: Vec<Finding>,
    },
    /// Nothing is.
    Not(Failure),
    /// The trail has no look yet.
    NeverLooked,
}

/// What the application said.
#[derive(Debug)]
pub(crate) struct App {
    /// The address.
    pub(crate) url: String,
    /// What came of it.
    pub(crate) glance: Glance,
}

/// Looks at every environment that was asked for, records what is new, and tells whom it concerns.
pub(crate) fn run<'a>(
    ctx: &Context,
    config: &'a Config,
    args: &StatusArgs,
    narrator: &Narrator<'_>,
) -> Result<StatusReport<'a>, Failure> {
    let desk = Desk::open(ctx, config, args)?;
    desk.look(narrator, desk.first(), None)
}

/// What looks work with, however many there are.
struct Desk<'a, 'c> {
    ctx: &'c Context,
    config: &'a Config,
    environments: Vec<&'a Environment>,
    authorities: BTreeMap<&'a str, Result<Authority, Failure>>,
    tells: tell::Sinks,
    signals: Signals,
    memory: Memory,
    within: Option<Duration>,
    attention: Attention,
}

impl<'a, 'c> Desk<'a, 'c> {
    /// Prepares for what the command line asks. Nobody is asked anything yet.
    fn open(ctx: &'c Context, config: &'a Config, args: &StatusArgs) -> Result<Self, Failure> {
        let environments = many::selected(config, &args.environments, Extent::of_flag(args.all))?;
        let tells = if args.tells() { tell::Sinks::open(ctx, config)? } else { tell::Sinks::silent() };
        let signals = commands::signals(ctx)?;
        let authorities = many::authorities(ctx, config, &environments, &signals);
        let attention = if args.exit_code { Attention::Exit } else { Attention::Shown };
        let (memory, within) = (args.memory(), args.fail_within);
        Ok(Self { ctx, config, environments, authorities, tells, signals, memory, within, attention })
    }

    /// Where the facts of every license come from in a first look.
    fn first(&self) -> Vec<Source> {
        let source = || match self.memory {
            Memory::Ask => Source::Authority,
            Memory::Trail => Source::Trail,
        };
        self.environments.iter().map(|_| source()).collect()
    }

    /// Looks at every environment. Accounts are asked about where the authority is, unless they are known from before.
    fn look(
        &self,
        narrator: &Narrator<'_>,
        sources: Vec<Source>,
        accounts: Option<Vec<Account<'a>>>,
    ) -> Result<StatusReport<'a>, Failure> {
        let keyring = Keyring::read(self.ctx, self.config);
        let Self { ctx, config, signals, tells, .. } = self;
        let at = context::now();
        let scene = Scene { ctx, config, narrator, signals, keyring: &keyring, tells, at };
        let looked = many::concurrently(&self.environments, sources, signals, |environment, source| {
            look(&scene, environment, &self.authorities[environment.authority.as_str()], source)
        });
        let accounts = match (accounts, self.memory) {
            (Some(accounts), _) => accounts,
            (None, Memory::Ask) => quota::ask(&self.environments, &self.authorities, signals),
            (None, Memory::Trail) => Vec::new(),
        };
        if let Some(stop) = signals.stop() {
            return Err(Failure::LookStopped { stop });
        }
        Ok(StatusReport { environments: looked, accounts, at, within: self.within, attention: self.attention })
    }
}

/// What every environment of one look works with.
struct Scene<'a> {
    ctx: &'a Context,
    config: &'a Config,
    narrator: &'a Narrator<'a>,
    signals: &'a Signals,
    keyring: &'a Keyring,
    tells: &'a tell::Sinks,
    at: Timestamp,
}

/// Whether the authority is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// It is: one validation.
    Ask,
    /// What the trail has will do: none is spent, and nothing is recorded.
    Trail,
}

/// Where the facts of a license come from.
#[derive(Debug)]
enum Source {
    /// The authority is asked: one validation.
    Authority,
    /// What the trail has will do: nothing is recorded, and nobody is told.
    Trail,
    /// They are those of a look before, and when that was: nothing is recorded, and nobody is told.
    Before(Box<Known>, Timestamp),
}

/// The story of one environment: ask the authority, look at the application, compare, record, tell.
fn look<'a>(
    scene: &Scene<'_>,
    environment: &'a Environment,
    authority: &Result<Authority, Failure>,
    source: Source,
) -> Status<'a> {
    let mut status = Status {
        environment,
        license: Known::NeverLooked,
        asked_at: scene.at,
        clocks: Vec::new(),
        app: None,
        deployed: None,
        changed: Vec::new(),
        rotation: rotation::State::default(),
        history: Folded::default(),
        standing: Vec::new(),
        told: Vec::new(),
        trail: None,
        failure: None,
    };
    // What is not trusted is not compared with; the application and the authority still say something.
    let (journal, folded) = read(scene, environment, &source).unwrap_or_else(|failure| {
        status.failure = Some(failure);
        (None, Folded::default())
    });
    match source {
        Source::Authority => status.license = judged(scene, environment, authority, &folded),
        Source::Trail => status.license = Known::of_trail(environment, &folded),
        Source::Before(license, asked_at) => (status.license, status.asked_at) = (*license, asked_at),
    }
    status.deployed = folded.deploys().running().cloned();
    status.rotation = folded.rotation().clone();
    status.app = environment
        .health
        .as_ref()
        .map(|probe| App { url: probe.url.clone(), glance: glance(scene, environment, &probe.url, &status) });
    status.changed = status
        .deployed
        .as_ref()
        .map_or_else(Vec::new, |deployed| since(deployed, status.license.key(), status.license.license()));
    let now = context::now();
    status.clocks = clock::wrong(&status, journal.as_ref().and_then(Journal::newest_at), now);
    let license = license_facts(environment, &status.license, &folded, now);
    let stands = stands(scene, &status, license, &folded, now);
    status.history = folded;
    if let Some(journal) = journal
        && let Err(failure) = record_and_tell(scene, &mut status, journal, &stands, now)
    {
        status.failure = Some(failure);
    }
    status.standing = stands.with_held(status.history.alerts().open().map(|notice| &notice.alert));
    status
}

/// Reads the trail once: what is compared with, and what is appended to where this look is to be recorded. Whoever
/// appends in the meantime is noticed by the next append, which is refused then.
fn read(scene: &Scene<'_>, environment: &Environment, source: &Source) -> Result<(Option<Journal>, Folded), Failure> {
    match source {
        Source::Authority => {
            let journal = Journal::open(scene.ctx, scene.config, environment, scene.narrator)?;
            let folded = journal.folded().clone();
            Ok((Some(journal), folded))
        }
        Source::Trail | Source::Before(..) => Ok((None, journal::look(scene.ctx, scene.config, &environment.name)?)),
    }
}

fn judged(
    scene: &Scene<'_>,
    environment: &Environment,
    authority: &Result<Authority, Failure>,
    folded: &Folded,
) -> Known {
    let judge = || {
        let key = connect::key(scene.ctx, scene.config, environment)?;
        let authority = match authority {
            Ok(authority) => authority,
            // The failure belongs to several environments; each gets its own by asking again for what fails at once.
            Err(_) => &connect::authority(scene.ctx, scene.config, environment, 1, None)?,
        };
        let history = || Ok(Cow::Borrowed(folded));
        gate::decide(scene.ctx, scene.config, environment, &key, authority, &history, &Force::No)
    };
    judge().map_or_else(Known::Not, Known::Judged)
}

impl Known {
    /// What the last look saw, judged again.
    fn of_trail(environment: &Environment, folded: &Folded) -> Self {
        let Some(looked) = folded.looked().cloned() else { return Self::NeverLooked };
        let judge = |license| judge_kept(&environment.demand, license, context::now());
        let checks = looked.look.license.as_ref().map_or_else(Vec::new, judge);
        Self::Cached { looked, checks }
    }

    /// The key that deploys read.
    pub(crate) fn key(&self) -> Option<Fingerprint> {
        match self {
            Self::Judged(judged) => Some(judged.fingerprint),
            Self::Cached { looked, .. } => looked.look.key_fingerprint,
            Self::Not(_) | Self::NeverLooked => None,
        }
    }

    /// What the license says.
    pub(crate) fn license(&self) -> Option<&License> {
        match self {
            Self::Judged(judged) => judged.license.as_ref(),
            Self::Cached { looked, .. } => looked.look.license.as_ref(),
            Self::Not(_) | Self::NeverLooked => None,
        }
    }

    /// When the key stops working.
    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        let license = self.license()?;
        [license.expires_at, license.grace_ends_at].into_iter().flatten().min()
    }

    /// Whether an end was stated, and no horizon can be compared with it.
    fn has_an_end_that_nobody_can_read(&self) -> bool {
        self.license().is_some_and(|license| license.unreadable_end.is_some())
    }

    /// Whether somebody said something that can be judged.
    fn is_answered(&self) -> bool {
        match self {
            Self::Judged(judged) => judged.basis.trouble().is_none(),
            Self::Cached { .. } => true,
            Self::Not(_) | Self::NeverLooked => false,
        }
    }

    /// How far the authority's clock is ahead of ours, where it told its time.
    fn authority_ahead(&self) -> Option<SignedDuration> {
        match self {
            Self::Judged(judged) => judged.authority_ahead,
            Self::Cached { .. } | Self::Not(_) | Self::NeverLooked => None,
        }
    }

    /// What the gate says of it: of what was seen before, what it would say today.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Judged(judged) => Some(judged.verdict),
            Self::Cached { checks, .. } if checks.iter().any(|finding| finding.outcome == Outcome::Fail) => {
                Some(Verdict::Refused)
            }
            Self::Cached { looked, .. } => looked.look.verdict,
            Self::Not(_) | Self::NeverLooked => None,
        }
    }
}

/// Looks at the application. It should run what was deployed last, with what the license says now.
fn glance(scene: &Scene<'_>, environment: &Environment, url: &str, status: &Status<'_>) -> Glance {
    let deployed = status.deployed.as_ref();
    let license = status.license.license();
    let expected = Expected {
        plan: license.and_then(|license| license.plan.clone()),
        features: environment.demand.features.clone(),
        expires_at: license.and_then(|license| license.expires_at),
        key_fingerprint: deployed.map(|deployed| deployed.key_fingerprint).or_else(|| status.license.key()),
        release: deployed.map(|deployed| deployed.release.clone()),
    };
    // The key may have come out of a store since.
    let keyring = scene.keyring.with_met(scene.ctx);
    let glance = health::glance(url, &expected, &keyring.quoting(), &scene.ctx.vars, scene.signals);
    // An application that reads its key by itself has the one that deploys read now, without a deploy.
    match status.license.key() {
        Some(key) if glance.reports(key) => glance.compared_again(&Expected { key_fingerprint: Some(key), ..expected }),
        Some(_) | None => glance,
    }
}

/// The facts that alerts rest on: only what the authority said just now says that something is over, and not what stood
/// in for its answer. Where nobody was asked, they are those of the last look.
fn license_facts(environment: &Environment, known: &Known, folded: &Folded, now: Timestamp) -> Option<LicenseFacts> {
    match known {
        Known::Judged(judged) => match &judged.basis {
            Basis::Answer => {
                let refused =
                    refusal(environment, judged).map(|reason| refusal_since(judged.fingerprint, reason, folded, now));
                Some(LicenseFacts::of(judged.fingerprint, judged.license.as_ref()?, refused))
            }
            Basis::Class | Basis::Cached { .. } | Basis::OfflineToken { .. } | Basis::Nothing { .. } => None,
        },
        Known::Cached { looked: Looked { look, .. }, .. } => {
            Some(LicenseFacts::of(look.key_fingerprint?, look.license.as_ref()?, look.refused.clone()))
        }
        Known::Not(_) | Known::NeverLooked => None,
    }
}

/// Why the authority, or the demand, says no: the first reason, a stable word. A license that renews itself may be nearer
/// to its end than is demanded until it does.
fn refusal(environment: &Environment, judged: &Judgement) -> Option<String> {
    if judged.verdict != Verdict::Refused {
        return None;
    }
    let renews = environment.auto_renew == AutoRenew::Yes;
    let is_told =
        |finding: &&Finding| finding.outcome == Outcome::Fail && !(renews && finding.reason == Reason::ExpiresWithin);
    Some(judged.checks.iter().find(is_told)?.reason.word())
}

/// A refusal, since it was seen first: a look that nobody answered, in between, does not make another one of it.
fn refusal_since(key: Fingerprint, reason: String, folded: &Folded, now: Timestamp) -> Refusal {
    let last = folded.looked().filter(|looked| looked.look.key_fingerprint == Some(key));
    let seen = last.and_then(|looked| looked.look.refused.as_ref()).filter(|refused| refused.reason == reason);
    let told = folded.alerts().open().find_map(|notice| {
        let Alert::Refused { key_fingerprint, reason: told, since } = &notice.alert else { return None };
        (*key_fingerprint == key && *told == reason).then_some(*since)
    });
    let since = seen.map(|refused| refused.since).or(told).unwrap_or(now);
    Refusal { reason, since }
}

fn stands(
    scene: &Scene<'_>,
    status: &Status<'_>,
    license: Option<LicenseFacts>,
    folded: &Folded,
    now: Timestamp,
) -> Standing {
    let alerts = &scene.config.alerts;
    let policy = Policy {
        days: alerts.days.clone(),
        auto_renew: status.environment.auto_renew,
        gap_secs_max: alerts.gap_max.as_secs(),
    };
    let last_look = folded.looked().map(|looked| looked.at);
    let authority_ahead = status.license.authority_ahead();
    standing(&policy, &Facts { license, rotation: folded.rotation(), last_look, authority_ahead }, now)
}

/// Writes down what is new, that a rotation was adopted, and whom this run tells of what.
fn record_and_tell(
    scene: &Scene<'_>,
    status: &mut Status<'_>,
    mut journal: Journal,
    stands: &Standing,
    now: Timestamp,
) -> Result<(), Failure> {
    let _one_at_a_time = scene.tells.turn(scene.config);
    let done = (|| {
        let Gap::Settled = tell_of_gap(scene, status, &mut journal, stands)? else { return Ok(()) };
        let newest = record(scene, status, &mut journal, now)?;
        journal.record_where(|folded| adopted(folded.rotation(), status))?;
        if scene.tells.are_silent() {
            return Ok(());
        }
        let asked = |folded: &Folded, sinks: &[String], run: &_, now, _: &[_]| match &newest {
            Newest::Ours(looked) if folded.looked() == looked.as_deref() => {
                tasks(folded.alerts(), stands, sinks, run, now)
            }
            // Whoever looked meanwhile may know more, and tells what there is to tell of the license.
            Newest::Ours(_) | Newest::OfAnother => messages(folded.alerts(), sinks, run, now),
        };
        tell::tell(scene.ctx, &mut journal, &asked, scene.tells, scene.signals, &mut status.told)
    })();
    status.trail = journal.written();
    journal.folded().clone_into(&mut status.history);
    done
}

/// Whether the look may be written down, which ends a gap in which nobody looked.
enum Gap {
    /// There is none, or it is due.
    Settled,
    /// This run tells nobody, and the next one that does is to find it.
    LeftToTheNext,
}

/// That nobody looked for too long is due before the look is written down: a run that is killed in between would take it
/// with it.
fn tell_of_gap(
    scene: &Scene<'_>,
    status: &mut Status<'_>,
    journal: &mut Journal,
    stands: &Standing,
) -> Result<Gap, Failure> {
    let Some(gap) = stands.alerts.iter().find(|alert| matches!(alert, Alert::Unwatched { .. })) else {
        return Ok(Gap::Settled);
    };
    if scene.tells.are_silent() && !scene.config.alerts.sinks.is_empty() {
        return Ok(Gap::LeftToTheNext);
    }
    let before = status.history.looked();
    let asked = |folded: &Folded, sinks: &[String], run: &_, now, _: &[_]| {
        let tasks =
            if folded.looked() == before { tasks(folded.alerts(), stands, sinks, run, now) } else { Vec::new() };
        of_gap(gap, tasks)
    };
    tell::tell(scene.ctx, journal, &asked, scene.tells, scene.signals, &mut status.told)?;
    Ok(Gap::Settled)
}

/// The newest look in the trail.
enum Newest {
    /// It is that of this run, or the one before it which said the same.
    Ours(Option<Box<Looked>>),
    /// Another run wrote one since this one began.
    OfAnother,
}

/// Writes the look down where it brings something new.
fn record(scene: &Scene<'_>, status: &Status<'_>, journal: &mut Journal, now: Timestamp) -> Result<Newest, Failure> {
    let before = status.history.looked();
    let is_outdated = Cell::new(false);
    journal.record_where(|folded| {
        is_outdated.set(folded.looked() != before);
        if is_outdated.get() {
            return None;
        }
        let look = record_of(status, license_facts(status.environment, &status.license, folded, now));
        let gap_secs_max = scene.config.alerts.gap_max.as_secs();
        let asks = before.is_none_or(|last| last.asks_for_entry(&look, gap_secs_max, now));
        asks.then_some(Event::Look(look))
    })?;
    Ok(if is_outdated.get() {
        Newest::OfAnother
    } else {
        Newest::Ours(journal.folded().looked().cloned().map(Box::new))
    })
}

/// What is to be done about a gap, and nothing else.
fn of_gap(gap: &Alert, tasks: Vec<Task>) -> Vec<Task> {
    let is_about_it = |task: &Task| match task {
        Task::Announce { alert, .. } => alert == gap,
        Task::Resend { notice, .. } | Task::Resolve { notice, .. } | Task::Leave { notice } => notice.alert == *gap,
        Task::Close(_) => false,
    };
    tasks.into_iter().filter(is_about_it).collect()
}

/// What the trail keeps of a look.
fn record_of(status: &Status<'_>, facts: Option<LicenseFacts>) -> Look {
    let (judged, trouble) = match &status.license {
        Known::Judged(judged) => {
            (Some(judged), judged.basis.trouble().map(|error| trouble(error.stable_code(), error)))
        }
        Known::Not(failure) => (None, Some(trouble(failure.code(), failure))),
        Known::Cached { .. } | Known::NeverLooked => (None, None),
    };
    let seen = status.app.as_ref().map(|app| &app.glance.seen);
    let of_app = match seen {
        Some(Seen::Unhealthy { differences }) => differences.as_slice(),
        Some(Seen::Proved | Seen::NotProved | Seen::Unreachable { .. } | Seen::Stopped(_)) | None => &[],
    };
    Look {
        key_fingerprint: judged.map(|judged| judged.fingerprint),
        license: judged.and_then(|judged| judged.license.clone()),
        verdict: judged.map(|judged| judged.verdict),
        refused: facts.and_then(|facts| facts.refused),
        trouble,
        health: seen.map(|seen| match seen {
            Seen::Proved => HealthRecord::Proved,
            Seen::NotProved => HealthRecord::NotProved,
            Seen::Unhealthy { .. } => HealthRecord::Unhealthy,
            Seen::Unreachable { .. } => HealthRecord::Unreachable,
            Seen::Stopped(_) => HealthRecord::NotAwaited,
        }),
        differences: of_app.iter().chain(&status.changed).cloned().collect(),
    }
}

fn trouble(code: &str, error: &dyn std::fmt::Display) -> Trouble {
    Trouble { code: code.to_owned(), message: clean(&error.to_string()) }
}

/// An application that reports the new key of a rotation proves that it was adopted.
fn adopted(rotation: &rotation::State, status: &Status<'_>) -> Option<Event> {
    let reported = status.app.as_ref()?.glance.reported.as_ref();
    let key = reported.filter(|reported| reported.valid == Some(true))?.key_fingerprint?;
    rotation::adopted(rotation, &key, Adoption::Proved).map(Event::Rotation)
}

impl Status<'_> {
    /// The exit code of this environment. What is worst comes first: an alert that was not delivered hides nothing.
    fn exits(&self, report: &StatusReport<'_>) -> Vec<Exit> {
        let license = match &self.license {
            Known::Not(failure) => Some(failure.exit()),
            Known::Judged(_) | Known::Cached { .. } => match self.license.verdict() {
                Some(Verdict::Go) => None,
                Some(Verdict::Refused) => Some(Exit::Refused),
                Some(Verdict::Unknown) | None => Some(Exit::Unknown),
            },
            Known::NeverLooked => Some(Exit::Unknown),
        };
        let is_horizon_known = report.within.is_none() || !self.license.has_an_end_that_nobody_can_read();
        let horizon = (!is_horizon_known).then_some(Exit::Unknown);
        let app = self.app.as_ref().and_then(|app| match &app.glance.seen {
            Seen::Proved | Seen::NotProved => None,
            Seen::Unhealthy { .. } | Seen::Unreachable { .. } => Some(Exit::Unhealthy),
            Seen::Stopped(stop) => Some(crate::failure::stop_exit(*stop)),
        });
        let failure = self.failure.as_ref().map(Failure::exit);
        let attends = report.attention == Attention::Exit && !self.standing.is_empty();
        let attention = (attends || self.ends_within(report)).then_some(Exit::Attention);
        let undelivered = self.told.iter().any(Telling::failed).then_some(Exit::AlertUndelivered);
        [license, horizon, app, failure, attention, undelivered].into_iter().flatten().collect()
    }

    /// Whether the key stops working within the horizon of `--fail-within`.
    pub(crate) fn ends_within(&self, report: &StatusReport<'_>) -> bool {
        let horizon = report.within.and_then(|within| SignedDuration::try_from(within).ok());
        let left = self.license.ends_at().map(|ends_at| ends_at.duration_since(report.at));
        horizon.zip(left).is_some_and(|(horizon, left)| left <= horizon)
    }
}

impl StatusReport<'_> {
    /// The exit code of the whole: the first that applies.
    pub(crate) fn exit(&self) -> Exit {
        Exit::worst(self.environments.iter().flat_map(|status| status.exits(self)))
    }

    /// The exit code of one environment.
    pub(crate) fn exit_of(&self, status: &Status<'_>) -> Exit {
        Exit::worst(status.exits(self))
    }
}
