//! An environment's trail as a command works with it: read before anything is decided, written after every step, and
//! claimed while something is done that two must not do at once.

use std::{fmt, path::PathBuf};

use jiff::{SignedDuration, Timestamp};
use license_core::{
    chain::{Entry, Head},
    finding::clean,
    rotation::{Claim, ClaimEvent, Misfit, RunId, State},
    trail::{Actor, CHECKPOINT_ENTRIES, Event, Folded, Record},
};

use crate::{
    child_env, commit,
    config::{Config, EnvName, Environment},
    connect,
    context::{self, Context},
    environment_lock::{self, Guard, Holder, LockError, Other},
    exit::Exit,
    failure::Failure,
    log::{LogError, Position, Tail},
    narrator::Narrator,
    random,
    trail::{Trail, file::Replay},
};

/// How often something is tried again after somebody else appended first.
const RACES_MAX: u32 = 20;

/// The environment's trail, and where it ended when it was last looked at.
pub(crate) struct Journal {
    trail: Trail,
    environment: EnvName,
    root: PathBuf,
    actor: Actor,
    run: RunId,
    folded: Folded,
    /// When the newest entry was written, by the clock of whoever wrote it; as it was when the trail was opened.
    newest_at: Option<Timestamp>,
    /// How many entries follow the newest checkpoint.
    uncovered: u64,
    wrote: Wrote,
    position: Position,
    hold: Hold,
    notes: Vec<String>,
}

/// Whether this run wrote to the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrote {
    Nothing,
    Something,
}

/// When something was written down.
#[cfg(feature = "serve")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// By this run, just now.
    Now,
    /// Before.
    Before,
}

/// Whether this process has the environment's lock on this machine.
enum Hold {
    /// It has not asked for it.
    Free,
    /// It has it. The operating system gives it to one process, and takes it back from a dead one.
    Locked { _guard: Guard },
    /// It works without: a lease alone says who has the environment.
    #[cfg(test)]
    LeaseOnly,
}

impl Journal {
    /// Reads the state, from the newest checkpoint on: nothing is ever built on a trail that cannot be trusted.
    pub(crate) fn open(
        ctx: &Context,
        config: &Config,
        environment: &Environment,
        narrator: &Narrator<'_>,
    ) -> Result<Self, Failure> {
        let mut actor = ctx.actor();
        actor.commit =
            actor.commit.or_else(|| commit::checked_out(&config.root, &ctx.vars, &child_env::secret_names(config)));
        let trail = connect::trails(ctx, config).of(environment.name.as_str());
        let journal = Self::of(trail, environment.name.clone(), config.root.clone(), actor)?;
        journal.notes.iter().for_each(|note| narrator.note(note));
        Ok(journal)
    }

    fn of(trail: Trail, environment: EnvName, root: PathBuf, actor: Actor) -> Result<Self, Failure> {
        let Reading { folded, uncovered, position, tail, newest_at, .. } = Reading::of(&trail, &environment)?;
        let notes = match tail {
            Tail::Whole => Vec::new(),
            Tail::Torn { bytes } => vec![format!(
                "line {} of {}, the last one, lost its end, {bytes} bytes: it is cut off, and what it said is not in the trail",
                position.head.seq.saturating_add(1),
                trail.describe()
            )],
        };
        let (run, hold) = (RunId(random::word::<8>("run")?), Hold::Free);
        Ok(Self {
            trail,
            environment,
            root,
            actor,
            run,
            folded,
            newest_at,
            uncovered,
            wrote: Wrote::Nothing,
            position,
            hold,
            notes,
        })
    }

    /// Reads what others appended. Fails if what was read before is not there any more.
    pub(crate) fn refresh(&mut self) -> Result<(), Failure> {
        match &self.trail {
            Trail::File(trail) => {
                let replay = trail.read_after(self.position);
                self.follow(replay)
            }
            Trail::Git(_) => self.read_again(),
        }
    }

    /// Goes on from what was read before: a run that looks often does not pay for the length of the trail each time.
    fn follow(&mut self, replay: Result<Replay, LogError>) -> Result<(), Failure> {
        let replay = match replay {
            Err(LogError::Replaced { .. }) => return Err(self.rewritten()),
            read => read?,
        };
        let records = replay.entries.iter().map(|entry| &entry.body);
        let folded = records.clone().try_fold(self.folded.clone(), Folded::apply);
        self.folded = folded.map_err(|source| self.misfit(source))?;
        self.uncovered = records.fold(self.uncovered, uncovered_after);
        self.position = replay.position;
        Ok(())
    }

    /// Reads the state again, and looks for what was read before in it.
    fn read_again(&mut self) -> Result<(), Failure> {
        let mut reading = Reading::of(&self.trail, &self.environment)?;
        if reading.first_seq > self.position.head.seq + 1 {
            // The newest checkpoint is later than what was read last: only the whole trail shows whether that is in it.
            reading = Reading::of_whole(&self.trail, &self.environment)?;
        }
        if !reading.continues(&self.position.head) {
            return Err(self.rewritten());
        }
        self.folded = reading.folded;
        self.uncovered = reading.uncovered;
        self.position = reading.position;
        Ok(())
    }

    /// Hands on every entry from the first one on: what is over is no part of the state.
    pub(crate) fn each_record(&self, mut each: impl FnMut(Record)) -> Result<(), Failure> {
        self.trail.scan(|entry: Entry<Record>, _| each(entry.body))?;
        Ok(())
    }

    /// Who has the environment, and where its rotation stands.
    pub(crate) fn state(&self) -> &State {
        self.folded.rotation()
    }

    /// Everything that the trail says about now.
    pub(crate) fn folded(&self) -> &Folded {
        &self.folded
    }

    /// When the newest entry was written that was there at the opening, by the clock of whoever wrote it.
    pub(crate) fn newest_at(&self) -> Option<Timestamp> {
        self.newest_at
    }

    /// The environment's name.
    pub(crate) fn environment(&self) -> &str {
        self.environment.as_str()
    }

    /// This run's id.
    pub(crate) fn run(&self) -> &RunId {
        &self.run
    }

    /// Where the trail ended when it was last looked at.
    pub(crate) fn head(&self) -> Head {
        self.position.head
    }

    /// Where the trail ends, if this run wrote to it.
    pub(crate) fn written(&self) -> Option<Head> {
        match self.wrote {
            Wrote::Nothing => None,
            Wrote::Something => Some(self.position.head),
        }
    }

    /// Writes down what happens, if the trail still ends where it was last looked at; durable when it returns.
    pub(crate) fn append(&mut self, event: Event) -> Result<(), Failure> {
        let record = self.record_of(event);
        // What does not follow from the entries before it is not written.
        let folded = self.folded.clone().apply(&record).map_err(|source| self.misfit(source))?;
        self.position = self.trail.append(self.position, &record)?;
        self.wrote = Wrote::Something;
        self.folded = folded;
        self.uncovered += 1;
        if self.uncovered >= CHECKPOINT_ENTRIES {
            self.append_checkpoint();
        }
        Ok(())
    }

    /// Writes down what was decided, also where others only noted something in the meantime, as looks, alerts and
    /// webhooks do. Fails where they took the environment or went on with its rotation: then it is to be decided anew.
    pub(crate) fn append_decided(&mut self, event: Event) -> Result<(), Failure> {
        for _ in 1..RACES_MAX {
            match self.append(event.clone()) {
                Err(Failure::Log(lost)) if lost.is_lost_race() => {
                    let decided_on = self.state().clone();
                    self.refresh()?;
                    if *self.state() != decided_on {
                        return Err(lost.into());
                    }
                }
                done_or_failed => return done_or_failed,
            }
        }
        self.append(event)
    }

    /// Writes down what happens, unless the trail knows it already, whoever else appends in the meantime.
    #[cfg(feature = "serve")]
    pub(crate) fn append_unless(
        &mut self,
        knows: impl Fn(&Folded) -> bool,
        event: &Event,
    ) -> Result<Appended, Failure> {
        for _ in 0..RACES_MAX {
            if knows(&self.folded) {
                return Ok(Appended::Before);
            }
            match self.append(event.clone()) {
                Err(Failure::Log(error)) if error.is_lost_race() => self.refresh()?,
                done_or_failed => return done_or_failed.map(|()| Appended::Now),
            }
        }
        Err(JournalError::Busy { environment: self.environment.clone() }.into())
    }

    /// Writes down what follows from a trail that ends at `head`, and nothing if it ends elsewhere.
    pub(crate) fn append_after(&mut self, head: &Head, event: Event) -> Result<(), Failure> {
        if self.position.head != *head {
            self.refresh()?;
        }
        if self.position.head != *head {
            return Err(JournalError::Busy { environment: self.environment.clone() }.into());
        }
        self.append(event)
    }

    /// Writes down what has happened, whoever else appended in the meantime: a fact stays one.
    pub(crate) fn record(&mut self, event: Event) -> Result<(), Failure> {
        for _ in 1..RACES_MAX {
            match self.append(event.clone()) {
                Err(Failure::Log(error)) if error.is_lost_race() => self.refresh()?,
                done_or_failed => return done_or_failed,
            }
        }
        self.append(event)
    }

    /// Writes down what the state asks for, which is decided anew where somebody else appended in the meantime.
    pub(crate) fn record_where(&mut self, asked: impl Fn(&Folded) -> Option<Event>) -> Result<(), Failure> {
        for _ in 0..RACES_MAX {
            let Some(event) = asked(&self.folded) else { return Ok(()) };
            match self.append(event) {
                Err(Failure::Log(error)) if error.is_lost_race() => self.refresh()?,
                done_or_failed => return done_or_failed,
            }
        }
        Err(JournalError::Busy { environment: self.environment.clone() }.into())
    }

    /// A missing checkpoint costs time and nothing else, so that nothing fails because of one: a lost race, a full
    /// disk, a state that is too long for a line.
    fn append_checkpoint(&mut self) {
        let Some(event) = self.folded.checkpoint() else { return };
        if let Ok(position) = self.trail.append(self.position, &self.record_of(event)) {
            self.position = position;
            self.wrote = Wrote::Something;
        }
        // Whoever opens the trail next tries again.
        self.uncovered = 0;
    }

    fn record_of(&self, event: Event) -> Record {
        let (actor, environment) = (self.actor.clone(), self.environment.to_string());
        Record { at: context::now(), actor, environment, event }
    }

    fn rewritten(&self) -> Failure {
        JournalError::Rewritten { environment: self.environment.clone(), seq: self.position.head.seq }.into()
    }

    fn misfit(&self, source: Misfit) -> Failure {
        JournalError::Misfit { environment: self.environment.clone(), source }.into()
    }
}

// Claims.
impl Journal {
    /// Takes the environment for this many seconds from now, or has it for longer. Refuses if somebody else has it,
    /// and says who. `note` is told when the claim of a process that has died is taken over.
    ///
    /// On this machine the lock beside the trail says more than a lease: it is gone with the process that held it. So
    /// whoever gets the lock need not wait for the end of this machine's claim in the same trail, for its holder is dead;
    /// and a holder that outlives its claim is still not disturbed.
    pub(crate) fn claim(&mut self, secs: u64) -> Result<(), Failure> {
        self.hold_lock()?;
        for _ in 0..RACES_MAX {
            let now = context::now();
            if let Some(claim) = self.kept_out_by(now).cloned() {
                if !self.holder_is_dead(&claim) {
                    return Err(self.held(claim, None));
                }
                self.notes.push(format!(
                    "the claim {} was not given back, and the process that had it is gone: it is taken over",
                    Who(&claim)
                ));
            }
            let secs = SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX));
            let until = now.checked_add(secs).unwrap_or(Timestamp::MAX);
            match self.append(Event::Claim(ClaimEvent::Claimed { run: self.run().clone(), until })) {
                Err(Failure::Log(error)) if error.is_lost_race() => self.refresh()?,
                Err(Failure::Log(error)) if !error.is_known() => {
                    self.notes.push(format!(
                        "`{0}` may be claimed by this run until {until:.0}, which nobody gives back: `cargo xtask lock show {0}` tells",
                        self.environment
                    ));
                    return Err(error.into());
                }
                done_or_failed => return done_or_failed,
            }
        }
        Err(JournalError::Busy { environment: self.environment.clone() }.into())
    }

    /// Takes the environment's lock on this machine, until it is released or this process ends; the trail is untouched.
    pub(crate) fn hold_lock(&mut self) -> Result<(), Failure> {
        if let Hold::Free = self.hold {
            self.hold = Hold::Locked { _guard: self.lock()? };
            // Somebody may have worked, and ended, between the opening and the lock.
            self.refresh()?;
        }
        Ok(())
    }

    /// What a person should know about the last steps, once.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Gives the environment back, if it is still this run's.
    pub(crate) fn release(&mut self) -> Result<(), Failure> {
        let released = self.append_release();
        self.hold = Hold::Free;
        if released.is_err()
            && let Some(claim) = self.state().claim.as_ref().filter(|claim| claim.run == self.run)
        {
            self.notes.push(format!(
                "`{0}` could not be given back, and stays held until {1:.0}: `cargo xtask lock show {0}` tells whether it still is",
                self.environment, claim.until
            ));
        }
        released
    }

    fn append_release(&mut self) -> Result<(), Failure> {
        for _ in 0..RACES_MAX {
            if self.state().claim.as_ref().is_none_or(|claim| claim.run != self.run) {
                return Ok(());
            }
            match self.append(Event::Claim(ClaimEvent::Released { run: self.run.clone() })) {
                Err(Failure::Log(error)) if error.is_lost_race() => self.refresh()?,
                done_or_failed => return done_or_failed,
            }
        }
        Err(JournalError::Busy { environment: self.environment.clone() }.into())
    }

    /// The claim of somebody else that is in force.
    fn kept_out_by(&self, now: Timestamp) -> Option<&Claim> {
        self.state().claim.as_ref().filter(|claim| claim.keeps_out(&self.run, now))
    }

    /// Whether nobody is at work under this claim of somebody else. The lock beside a trail in a file proves it of this
    /// machine's processes; of another machine's it does not, for not every shared volume shows them its locks.
    fn holder_is_dead(&self, claim: &Claim) -> bool {
        match (&self.hold, &self.trail) {
            // Another machine's holder has a lock of its own.
            (_, Trail::Git(_)) => false,
            (Hold::Locked { .. }, Trail::File(_)) => self.actor.host.is_some() && claim.actor.host == self.actor.host,
            (Hold::Free, Trail::File(_)) => false,
            #[cfg(test)]
            (Hold::LeaseOnly, Trail::File(_)) => false,
        }
    }

    fn lock(&mut self) -> Result<Guard, Failure> {
        let holder = Holder {
            pid: std::process::id(),
            user: self.actor.user.clone(),
            host: self.actor.host.clone(),
            command: "command".to_owned(),
            since: context::now(),
        };
        let path = match &self.trail {
            Trail::File(trail) => trail.claim_lock_path(),
            // The trail is on another machine.
            Trail::Git(_) => self.root.join(".license").join(format!("{}.lock", self.environment)),
        };
        match environment_lock::acquire(&path, &self.environment, &holder) {
            Ok(guard) => Ok(guard),
            Err(LockError::Held { environment, path, other }) => {
                // The trail knows more than the lock: where it runs, and until when.
                self.refresh()?;
                match self.state().claim.clone() {
                    Some(claim) => Err(self.held(claim, Some(other))),
                    None => Err(LockError::Held { environment, path, other }.into()),
                }
            }
            Err(error @ LockError::Io { .. }) => Err(error.into()),
        }
    }

    fn held(&self, claim: Claim, process: Option<Other>) -> Failure {
        let (claim, environment) = (Box::new(claim), self.environment.clone());
        JournalError::Held { environment, claim, process }.into()
    }
}

/// What is folded from a trail without working with it.
pub(crate) fn look(ctx: &Context, config: &Config, environment: &EnvName) -> Result<Folded, Failure> {
    let trail = connect::trails(ctx, config).of(environment.as_str());
    Ok(Reading::of(&trail, environment)?.folded)
}

/// The state that a trail was read to, and where that reading begins and ends.
struct Reading {
    folded: Folded,
    uncovered: u64,
    /// The number of the first entry that was read; 1 where there is none.
    first_seq: u64,
    /// The heads after the entries that were read, oldest first, and before the first one.
    heads: Vec<Head>,
    position: Position,
    tail: Tail,
    /// When the newest entry was written.
    newest_at: Option<Timestamp>,
}

impl Reading {
    /// From the newest checkpoint on; from the beginning where there is none that can be read.
    fn of(trail: &Trail, environment: &EnvName) -> Result<Self, Failure> {
        let replay = trail.read_recent()?;
        let resumed = Folded::resume(replay.entries.iter().map(|entry| &entry.body));
        match resumed.map_err(|source| JournalError::Misfit { environment: environment.clone(), source })? {
            Some(folded) => Ok(Self::from(folded, &replay)),
            None if first_seq(&replay) == 1 => Self::from_whole(&replay, environment),
            None => Self::of_whole(trail, environment),
        }
    }

    fn of_whole(trail: &Trail, environment: &EnvName) -> Result<Self, Failure> {
        Self::from_whole(&trail.read()?, environment)
    }

    fn from_whole(replay: &Replay, environment: &EnvName) -> Result<Self, Failure> {
        let folded = Folded::replay(replay.entries.iter().map(|entry| &entry.body))
            .map_err(|source| JournalError::Misfit { environment: environment.clone(), source })?;
        Ok(Self::from(folded, replay))
    }

    fn from(folded: Folded, replay: &Replay) -> Self {
        let uncovered = replay.entries.iter().map(|entry| &entry.body).fold(0, uncovered_after);
        let first_seq = first_seq(replay);
        let before = replay.entries.iter().map(|entry| Head { seq: entry.seq - 1, hash: entry.prev });
        let heads = before.chain([replay.position.head]).collect();
        let newest_at = replay.entries.last().map(|entry| entry.body.at);
        Self { folded, uncovered, first_seq, heads, position: replay.position, tail: replay.tail, newest_at }
    }

    /// Whether an earlier end of the trail is in what was read.
    fn continues(&self, head: &Head) -> bool {
        self.heads.contains(head)
    }
}

/// The number of the first entry that was read; 1 where there is none.
fn first_seq(replay: &Replay) -> u64 {
    replay.entries.first().map_or(1, |entry| entry.seq)
}

/// How many entries follow the newest checkpoint, after one more.
fn uncovered_after(uncovered: u64, record: &Record) -> u64 {
    if matches!(record.event, Event::Checkpoint(_)) { 0 } else { uncovered + 1 }
}

/// Who has a claim, in words: `of alice on build-3, https://…, since …, until …`.
pub(crate) struct Who<'a>(pub(crate) &'a Claim);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Claim { run, actor, since, until } = self.0;
        match &actor.user {
            Some(user) => write!(f, "of {}", clean(user))?,
            None => write!(f, "of {}", clean(&run.0))?,
        }
        if let Some(host) = &actor.host {
            write!(f, " on {}", clean(host))?;
        }
        if let Some(url) = &actor.run_url {
            write!(f, ", {},", clean(url))?;
        }
        write!(f, " since {since:.0}, until {until:.0}")
    }
}

/// The process that holds the lock, in words that end the sentence about its claim.
fn in_brackets(process: Option<&Other>) -> String {
    process.map_or(String::new(), |other| format!(" ({other})"))
}

/// Why an environment's trail cannot be worked with now.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum JournalError {
    /// Somebody else has the environment.
    #[error("`{environment}` is held: the claim {}{}", Who(claim), in_brackets(process.as_ref()))]
    #[diagnostic(help(
        "wait until it is given back; `cargo xtask lock show {environment}` tells more, and how to break it once it has run out"
    ))]
    Held {
        /// The environment.
        environment: EnvName,
        /// The claim.
        claim: Box<Claim>,
        /// The process on this machine that holds it.
        process: Option<Other>,
    },
    /// Others keep appending.
    #[error("others keep appending to the trail of `{environment}` first")]
    #[diagnostic(help("run the command again"))]
    Busy {
        /// The environment.
        environment: EnvName,
    },
    /// What was read before is not there any more.
    #[error("the trail of `{environment}` cannot be trusted: entry {seq} is not the one that was read before")]
    #[diagnostic(help("nothing more was written; compare the trail with a backup before you go on"))]
    Rewritten {
        /// The environment.
        environment: EnvName,
        /// The number of the entry.
        seq: u64,
    },
    /// The entries make no sense.
    #[error("the trail of `{environment}` makes no sense: {source}")]
    #[diagnostic(help("use the newest version of this program; nothing was written"))]
    Misfit {
        /// The environment.
        environment: EnvName,
        /// Which entry.
        source: Misfit,
    },
}

impl JournalError {
    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Held { .. } | Self::Busy { .. } => Exit::Held,
            Self::Rewritten { .. } | Self::Misfit { .. } => Exit::Trail,
        }
    }
}

#[cfg(test)]
mod tests;
