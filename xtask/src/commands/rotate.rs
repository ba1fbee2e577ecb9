//! `rotate`: a new key, brought to every place that deploys read, with a grace for the old one, and never lost.
//!
//! What is next is decided in [`license_core::rotation`]; here each step is performed, and what came of it is written
//! into the trail before the next one is asked for.

use std::time::Duration;

use license_core::{
    LicenseKey,
    chain::Head,
    rotation::{
        self, Adoption, Bounds, End, Fact, Idempotency, Liveness, Overlap, Phase, Refusal, Run, Step, Stopping, Wish,
    },
};
use zeroize::Zeroizing;

use crate::{
    authority::{Authority, Reply},
    cli::RotateArgs,
    commands,
    config::{self, AuthoritySettings, Config, Environment, Problem},
    connect,
    context::{self, Context},
    escrow::{Escrow, Sharing},
    exit::Exit,
    failpoint,
    failure::{self, Failure},
    journal::Journal,
    narrator::Narrator,
    seal::Recipients,
    signals::Signals,
    store::place::{self, Place},
};

mod bounds;
mod call;
mod due;
mod error;
mod keys;
mod leftovers;
mod plan;
mod prepare;
mod promote;
mod reconcile;
mod words;

pub(crate) use error::RotateError;
pub(crate) use words::Told;

/// The most steps of one run: far more than any rotation has.
const STEPS_MAX: u32 = 1_000;
/// How often it is looked at anew whether a rotation is due. Nobody else is at work once the environment was taken.
const TURNS_MAX: u32 = 2;

/// What `rotate` did in one environment, as far as it came.
#[derive(Debug, Default)]
pub(crate) struct RotateReport {
    /// The environment's name, once it is known.
    pub(crate) environment: Option<String>,
    /// What would happen; set by `--plan`.
    pub(crate) plan: Option<Vec<String>>,
    /// How it ended.
    pub(crate) outcome: Option<Outcome>,
    /// Where the trail ends: after what was written, or as it was looked at.
    pub(crate) trail: Option<Head>,
    /// What kept the command from going on.
    pub(crate) failure: Option<Failure>,
}

/// How a rotation ended that could be looked at.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The key is younger than was asked for.
    NotDue {
        /// Its age in whole days.
        age_days: i64,
    },
    /// The rules say that there is nothing more to do in this run.
    Ended {
        /// How.
        end: Box<End>,
        /// Whether both keys work at this moment, where it was looked at.
        overlap: Option<BothKeys>,
    },
}

/// Whether the old key still works beside the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BothKeys {
    /// The authority accepts both.
    Confirmed,
    /// The old one is refused already.
    Absent,
    /// It could not be asked.
    Unknown,
}

/// Rotates one environment, or says why not. The report holds whatever was done, also when something failed.
pub(crate) fn run(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    args: &RotateArgs,
    narrator: &Narrator<'_>,
) -> RotateReport {
    let mut report = RotateReport { environment: Some(environment.name.to_string()), ..RotateReport::default() };
    if let Err(failure) = story(ctx, config, environment, args, narrator, &mut report) {
        report.failure = Some(failure);
    }
    report
}

/// The environments that are meant.
pub(crate) fn environments<'c>(config: &'c Config, args: &RotateArgs) -> Result<Vec<&'c Environment>, Problem> {
    if args.all {
        return Ok(config.environments.values().collect());
    }
    Ok(vec![config.named_or_default(args.environment.as_deref())?])
}

/// The exit code of one rotation.
pub(crate) fn exit(report: &RotateReport) -> Exit {
    if let Some(failure) = &report.failure {
        return failure.exit();
    }
    report.outcome.as_ref().map_or(Exit::Done, Outcome::exit)
}

/// The exit code of several: the worst in the order of the table's rotation rows.
pub(crate) fn exit_of_all(reports: &[RotateReport]) -> Exit {
    reports.iter().map(exit).max_by_key(|exit| exit.code()).unwrap_or(Exit::Done)
}

impl Outcome {
    /// The exit code of a rotation that ended so.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NotDue { .. } => Exit::Done,
            Self::Ended { end, .. } => exit_of(end),
        }
    }

    /// Whether it is done, and still leaves a key in use that is dead or will be.
    pub(crate) fn is_worrying(&self) -> bool {
        match self {
            Self::NotDue { .. } => false,
            Self::Ended { end, overlap } => {
                matches!(**end, End::RolledBack(_) | End::NotClosed { .. }) || *overlap == Some(BothKeys::Absent)
            }
        }
    }
}

fn exit_of(end: &End) -> Exit {
    match end {
        End::NothingOpen(_)
        | End::Committed { .. }
        | End::RolledBack(_)
        | End::NotClosed { old: Liveness::Accepted | Liveness::Refused, new: Liveness::Accepted, .. } => Exit::Done,
        End::NotClosed { new: Liveness::NotAsked, .. } | End::NotClosed { old: Liveness::NotAsked, .. } => {
            Exit::Unknown
        }
        End::Held(_) => Exit::Held,
        End::Refused(_) | End::Aborted(_) => Exit::RotationRefused,
        End::Unknown { .. } => Exit::RotationUnknown,
        End::KeyLost { printed: None, .. } => Exit::KeyLost,
        End::Rejected { .. } | End::NotClosed { new: Liveness::Refused, .. } => Exit::NewKeyRejected,
        End::KeyLost { printed: Some(_), .. } | End::NotValidated { .. } | End::Partial { .. } => Exit::Partial,
    }
}

fn story(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    args: &RotateArgs,
    narrator: &Narrator<'_>,
    report: &mut RotateReport,
) -> Result<(), Failure> {
    refuse_what_the_file_does_not_allow(config, environment, narrator)?;
    let signals = commands::signals(ctx)?;
    let mut journal = Journal::open(ctx, config, environment, narrator)?;
    if args.plan {
        let (lines, head) = plan::of(&journal, environment, args);
        narrator.steps(&format!("a rotation of `{}` would", environment.name), &lines);
        report.plan = Some(lines);
        report.trail = Some(head);
        return Ok(());
    }
    let mut scene = Scene::set(ctx, config, environment, args, narrator, &signals)?;
    let ended = scene.perform_what_is_due(&mut journal, args);
    let released = journal.release();
    journal.take_notes().iter().for_each(|note| narrator.note(note));
    report.trail = journal.written();
    let (end, did) = match ended? {
        Due::NotYet { age_days } => {
            report.outcome = Some(Outcome::NotDue { age_days });
            return released;
        }
        Due::Performed { end, did } => (*end, did),
    };
    if let (End::Aborted(_), Phase::Committed { .. }) = (&end, &journal.state().phase) {
        narrator.note(
            "the rotation before stands as it did, and another one within its grace needs `--accept-no-overlap` again",
        );
    }
    let overlap = match (&end, did) {
        (End::Committed { keys, .. }, Did::Something) => Some(scene.both_keys(keys)),
        _ => None,
    };
    report.outcome = Some(Outcome::Ended { end: Box::new(end), overlap });
    released
}

fn refuse_what_the_file_does_not_allow(
    config: &Config,
    environment: &Environment,
    narrator: &Narrator<'_>,
) -> Result<(), Failure> {
    let mut problems = config.problems_of_rotation(environment);
    let Some(last) = problems.pop() else { return Ok(()) };
    for problem in problems {
        narrator.failure(&problem.into(), Some((config, environment)));
    }
    Err(last.into())
}

/// Whether this run changed where the rotation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    Nothing,
    Something,
}

/// What came of a run that may have been too early.
enum Due {
    /// The key is younger than was asked for.
    NotYet {
        /// Its age in whole days.
        age_days: i64,
    },
    /// It was time.
    Performed {
        /// How it ended.
        end: Box<End>,
        /// Whether anything changed.
        did: Did,
    },
}

/// What every step works with.
struct Scene<'a> {
    ctx: &'a Context,
    config: &'a Config,
    environment: &'a Environment,
    narrator: &'a Narrator<'a>,
    signals: &'a Signals,
    authority: Authority,
    places: Vec<(String, Place)>,
    recipients: Recipients,
    escrow: Escrow,
    wish: Wish,
    idempotency: Idempotency,
    grace_days: u32,
    /// What the authority said about the old key, if it was asked before the rotation began: asking costs quota.
    asked: Option<Reply>,
    old_key: Option<LicenseKey>,
    /// The sealed answer of this run in plain, with its hash: no identity is needed for what is still in hand.
    answer: Option<(rotation::BlobHash, Zeroizing<Vec<u8>>)>,
    lies: Lies,
}

/// Where what this run has sealed lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lies {
    /// In every place that is configured, as far as this run knows.
    WhereItShould,
    /// On this machine, and not where other machines see it.
    HereOnly,
}

impl<'a> Scene<'a> {
    fn set(
        ctx: &'a Context,
        config: &'a Config,
        environment: &'a Environment,
        args: &RotateArgs,
        narrator: &'a Narrator<'a>,
        signals: &'a Signals,
    ) -> Result<Self, Failure> {
        let mut places = connect::places(ctx, config, environment)?;
        place::least_risk_first(&mut places, |(_, place)| place);
        let recipients = config.escrow.as_ref().map_or(&[][..], |escrow| &escrow.recipients);
        // A call under way is not broken by a signal: its answer is the only copy of the new key.
        let authority = connect::authority(ctx, config, environment, 1, Some(signals))?;
        Ok(Self {
            ctx,
            config,
            environment,
            narrator,
            signals,
            authority,
            places,
            recipients: Recipients::parse(recipients)?,
            escrow: connect::escrow(ctx, config, &environment.name),
            wish: wish(args),
            idempotency: idempotency(config, environment),
            grace_days: args.grace_days.unwrap_or(environment.rotation.grace_days),
            asked: None,
            old_key: None,
            answer: None,
            lies: Lies::WhereItShould,
        })
    }

    /// What a schedule asks for: a rotation whose grace is over is closed however young the key is; then a new one is
    /// begun if it is time. Without `--if-older-than` it is always time.
    fn perform_what_is_due(&mut self, journal: &mut Journal, args: &RotateArgs) -> Result<Due, Failure> {
        if args.if_older_than.is_some()
            && let Some(due) = self.not_due(journal, args)?
        {
            return Ok(due);
        }
        let (end, did) = self.perform(journal)?;
        Ok(Due::Performed { end: Box::new(end), did })
    }

    /// What came of a schedule that asks for no new rotation. Where it asks for one, the environment is taken first, and
    /// asked about again where somebody else was at work meanwhile.
    fn not_due(&mut self, journal: &mut Journal, args: &RotateArgs) -> Result<Option<Due>, Failure> {
        for _ in 0..TURNS_MAX {
            if let Some(end) = due::left_to_a_person(journal) {
                return Ok(Some(Due::Performed { end: Box::new(end), did: Did::Nothing }));
            }
            if due::is_under_way(journal) {
                let (end, did) = self.go_on(journal)?;
                // Where nothing was left to do, somebody else ended it meanwhile, and the key is young.
                if exit_of(&end) != Exit::Done || did == Did::Something {
                    return Ok(Some(Due::Performed { end: Box::new(end), did }));
                }
            }
            if is_to_be_closed(journal) {
                let (end, did) = self.go_on(journal)?;
                if exit_of(&end) != Exit::Done {
                    return Ok(Some(Due::Performed { end: Box::new(end), did }));
                }
                if is_to_be_closed(journal) {
                    self.narrator.note(
                        "the grace of the rotation before is over, and it is not closed yet: its old key still works; the \
                         next run looks again",
                    );
                }
            }
            if let Some(age_days) = due::not_yet(self, journal, args)? {
                return Ok(Some(Due::NotYet { age_days }));
            }
            failpoint::reached(self.ctx, "before-due");
            let run = Run::new(journal.run().clone());
            let bounds = bounds::of(self.ctx);
            let next = rotation::next(journal.state(), &run, self.wish, self.idempotency, &bounds, context::now());
            // What is refused needs no environment.
            if let Step::End(End::Refused(_)) = next {
                break;
            }
            let judged = journal.state().phase.clone();
            self.claim(journal, &bounds)?;
            if journal.state().phase == judged {
                break;
            }
            (self.asked, self.old_key) = (None, None);
        }
        Ok(None)
    }

    /// Takes the environment for a whole rotation, or for longer.
    fn claim(&self, journal: &mut Journal, bounds: &Bounds) -> Result<(), Failure> {
        let claimed = journal.claim(bounds.whole_secs(self.places.len()));
        journal.take_notes().iter().for_each(|note| self.narrator.note(note));
        claimed
    }

    /// Goes on with what is open, and begins nothing.
    fn go_on(&mut self, journal: &mut Journal) -> Result<(End, Did), Failure> {
        let wish = std::mem::replace(&mut self.wish, Wish::Resume);
        let went = self.perform(journal);
        self.wish = wish;
        went
    }

    /// One step after the other, until there is nothing more to do in this run, however it ends.
    fn perform(&mut self, journal: &mut Journal) -> Result<(End, Did), Failure> {
        let mut run = Run::new(journal.run().clone());
        let performed = self.perform_steps(journal, &mut run);
        // Whatever it was that a signal kept from being done.
        if performed.is_err() && self.signals.stop().is_some() {
            self.say_what_only_this_run_knows(journal, &mut run);
        }
        self.share_what_is_here_only(journal);
        performed
    }

    /// Writes that nothing of a call was sent that this run was to send.
    fn say_what_only_this_run_knows(&self, journal: &mut Journal, run: &mut Run) {
        let Stopping::After(event) = rotation::stopping(journal.state(), run) else { return };
        if let Err(error) = self.write(journal, run, &event) {
            self.narrator.note(&format!("that nothing was sent to the authority is not in the trail: {error}"));
        }
    }

    /// What could not be put where other machines see it is put there as soon as that is possible: until then it is lost
    /// with this machine.
    fn share_what_is_here_only(&self, journal: &Journal) {
        let Some(open) = journal.state().phase.open() else { return };
        match (self.lies, self.wish) {
            (Lies::HereOnly, _) | (Lies::WhereItShould, Wish::Resume) => {}
            (Lies::WhereItShould, _) => return,
        }
        let id = &open.id.0;
        match self.escrow.share(id) {
            Ok(Sharing::NothingLeft) => {}
            Ok(Sharing::Done) => self
                .narrator
                .note(&format!("what is sealed for rotation {id} lies where other machines see it, too, from now on")),
            Err(error) => self.narrator.note(&format!(
                "what is sealed for rotation {id} lies on this machine only: {error}; keep the machine, and put it where \
                 others see it with `cargo xtask rotate {} --resume`",
                self.environment.name
            )),
        }
    }

    fn perform_steps(&mut self, journal: &mut Journal, run: &mut Run) -> Result<(End, Did), Failure> {
        let mut did = Did::Nothing;
        let bounds = bounds::of(self.ctx);
        for _ in 0..STEPS_MAX {
            // Between steps, never within one.
            if let Some(stop) = self.signals.stop() {
                return Err(RotateError::Stopped { exit: failure::stop_exit(stop) }.into());
            }
            let step = rotation::next(journal.state(), run, self.wish, self.idempotency, &bounds, context::now());
            failpoint::reached(self.ctx, step_name(&step));
            let fact = match step {
                Step::End(End::Held(_)) | Step::Claim => {
                    self.claim(journal, &bounds)?;
                    failpoint::reached(self.ctx, "after-claim");
                    continue;
                }
                Step::End(end) => return Ok((end, did)),
                Step::Prepare { epoch } => {
                    self.remove_leftovers(journal);
                    Some(self.prepare(epoch, &bounds)?)
                }
                Step::Call(open) => self.call(journal, run, &open, &bounds)?,
                Step::Repeat(open) => self.repeat(journal, run, &open, &bounds)?,
                Step::LookInEscrow(open) => {
                    let found = self.sealed_as_known(&open, &journal.state().phase)?;
                    if found.is_none() {
                        self.tell_of_a_part(&open)?;
                    }
                    rotation::after_look(journal.state(), run, found, &bounds).map(|fact| (open.id, fact))
                }
                Step::Settle { open, until } => {
                    self.settle(&open, until)?;
                    rotation::after_settle(journal.state(), run);
                    None
                }
                Step::Reconcile(open) => self.reconcile(run, &open)?,
                Step::Confirm { open, blob } => self.confirm(run, &open, blob)?,
                Step::SealListed(open) => self.seal_listed(run, &open),
                Step::SealBrought(open) => self.seal_brought(&open, &journal.state().phase)?,
                Step::Validate { open, blob } => self.validate_new(run, &open, blob)?,
                Step::Store { keys, store, key } => self.bring(&keys, &store, key)?,
                Step::Close { keys, adoption } => self.close(run, &keys, adoption)?,
                Step::Write(event) => {
                    self.can_do(&event.fact, &journal.state().phase)?;
                    Some((event.rotation_id, event.fact))
                }
            };
            if let Some((rotation_id, fact)) = fact
                && self.write(journal, run, &rotation::RotationEvent { rotation_id, fact })?
            {
                did = Did::Something;
            }
        }
        Err(RotateError::NoEnd.into())
    }

    /// Writes what became true, also where others only noted something in the meantime: what came of the one call is
    /// known to this run alone. Whether it was written: if somebody took the environment or went on with the rotation, the
    /// trail is looked at again.
    fn write(&self, journal: &mut Journal, run: &mut Run, event: &rotation::RotationEvent) -> Result<bool, Failure> {
        let name = words::fact_name(&event.fact);
        // If the person who gave it up was wrong, the new key is in the answer and nowhere else.
        let is_given_up = matches!(journal.state().phase, Phase::NewRejected { .. });
        let replaced = replaced_by(journal, &event.fact);
        match journal.append_decided(license_core::trail::Event::Rotation(event.clone())) {
            Err(Failure::Log(error)) if error.is_lost_race() => {
                journal.refresh()?;
                self.forget_what_never_began(journal, event);
                return Ok(false);
            }
            written => written?,
        }
        run.wrote(event);
        failpoint::reached(self.ctx, name);
        if let Some(line) = words::of_fact(&event.fact, self.environment) {
            self.narrator.note(&line);
        }
        if words::ends_escrow(&event.fact) && is_given_up {
            self.narrator.note(&format!("what was sealed for rotation {} stays in escrow", event.rotation_id.0));
        } else if words::ends_escrow(&event.fact)
            && let Err(error) = self.escrow.delete(&event.rotation_id.0)
        {
            self.narrator.note(&format!("the escrow of rotation {} is not emptied: {error}", event.rotation_id.0));
        }
        if let Some(replaced) = replaced
            && let Err(error) = self.escrow.delete(&replaced)
        {
            self.narrator.note(&format!("the escrow of rotation {replaced} is not emptied: {error}"));
        }
        Ok(true)
    }

    /// Deletes the old key that was sealed for a rotation whose intent was not written: the trail never names it.
    fn forget_what_never_began(&self, journal: &Journal, event: &rotation::RotationEvent) {
        let id = &event.rotation_id;
        let is_named = journal.state().phase.open().is_some_and(|open| open.id == *id);
        if is_named || !matches!(event.fact, Fact::Intent(_)) {
            return;
        }
        if let Err(error) = self.escrow.delete(&id.0) {
            self.narrator
                .note(&format!("what was sealed for rotation {}, which did not begin, stays there: {error}", id.0));
        }
    }

    /// A rollback that could not be brought to its end is not begun: it needs the old key, and that key alive. Nor is a
    /// grace given up, with its escrow, for a rotation that could not begin.
    fn can_do(&mut self, fact: &Fact, phase: &Phase) -> Result<(), Failure> {
        if let (Fact::OverlapWaived, Phase::Committed { keys, .. }) = (fact, phase) {
            self.has_the_current_key(keys)?;
            self.preflight()?;
        }
        match phase.open().filter(|_| *fact == Fact::RollbackStarted) {
            Some(open) => self.old_key_lives(open),
            None => Ok(()),
        }
    }

    /// Looks for a sealed answer. One that was only printed is known to be nowhere else, whatever the escrow is like.
    fn sealed_as_known(&self, open: &rotation::Open, phase: &Phase) -> Result<Option<rotation::BlobHash>, Failure> {
        match (self.sealed(open), phase) {
            (Err(_), Phase::KeyLost { printed: Some(_), .. }) => Ok(None),
            (found, _) => found,
        }
    }

    /// Waits out a late execution. A signal ends the waiting; the next run goes on.
    fn settle(&self, open: &rotation::Open, until: jiff::Timestamp) -> Result<(), Failure> {
        self.narrator.note(&format!(
            "nobody knows yet whether the authority rotated: waiting until {until:.0}, so that a late execution shows; nothing \
             breaks before {:.0}",
            open.grace_end_earliest()
        ));
        let left = until.duration_since(context::now());
        let left = Duration::try_from(left).unwrap_or_default() + Duration::from_millis(1);
        match self.signals.sleep(left) {
            Some(stop) => Err(RotateError::Stopped { exit: failure::stop_exit(stop) }.into()),
            None => Ok(()),
        }
    }
}

/// The rotation whose grace was given up for one that has a key that works now: nothing brings its keys back.
fn replaced_by(journal: &Journal, fact: &Fact) -> Option<String> {
    let before = journal.state().before.as_ref().filter(|_| matches!(fact, Fact::Validated { .. }))?;
    Some(before.keys.open.id.0.clone())
}

/// Whether all that is left of a rotation is to prove its old key dead.
fn is_to_be_closed(journal: &Journal) -> bool {
    matches!(&journal.state().phase, Phase::Committed { keys, .. } if context::now() >= keys.grace_ends_at)
}

fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Claim => "before-claim",
        Step::Prepare { .. } => "before-prepare",
        Step::Call(_) => "before-call",
        Step::LookInEscrow(_) => "before-look",
        Step::Settle { .. } => "before-settle",
        Step::Reconcile(_) => "before-reconcile",
        Step::Confirm { .. } => "before-confirm",
        Step::Repeat(_) => "before-repeat",
        Step::SealListed(_) | Step::SealBrought(_) => "before-seal-brought",
        Step::Validate { .. } => "before-validate",
        Step::Store { .. } => "before-store",
        Step::Close { .. } => "before-close",
        Step::Write(_) => "before-write",
        Step::End(_) => "before-end",
    }
}

fn wish(args: &RotateArgs) -> Wish {
    match () {
        () if args.resume => Wish::Resume,
        () if args.rollback => Wish::RollBack,
        () if args.adopt => Wish::Adopt,
        () if args.confirm_not_rotated => Wish::ConfirmNotRotated,
        () if args.accept_no_overlap => Wish::Rotate(Overlap::Waived),
        () => Wish::Rotate(Overlap::Required),
    }
}

fn idempotency(config: &Config, environment: &Environment) -> Idempotency {
    match &config.authorities[&environment.authority] {
        AuthoritySettings::Embedded { .. } => Idempotency::Honored,
        AuthoritySettings::Remote(settings) => match settings.idempotency {
            config::Idempotency::Honored => Idempotency::Honored,
            config::Idempotency::Ignored => Idempotency::Ignored,
        },
    }
}

/// Why a rotation is refused, in words that complete "the rotation is refused: ".
pub(crate) fn refusal_words(refusal: &Refusal, environment: &str) -> (String, String) {
    match refusal {
        Refusal::GraceOpen { until } => (
            format!(
                "the old key of the rotation before works until {until:.0}, and an authority that keeps one previous key would kill it now"
            ),
            format!(
                "run it again after that; or, if that key may die, `cargo xtask rotate {environment} --accept-no-overlap`"
            ),
        ),
        Refusal::OldKeyNotDead => (
            "the grace of the rotation before is over, and the authority was not seen to refuse its old key".to_owned(),
            format!(
                "run it again later; or, if that key may die, `cargo xtask rotate {environment} --accept-no-overlap`"
            ),
        ),
        Refusal::RolledBack { until } => (
            format!("the old key was brought back into the stores, and dies at {until:.0}"),
            format!("bring the new one back first: `cargo xtask rotate {environment} --resume`"),
        ),
        Refusal::NothingToRollBack => (
            "no store holds a new key, so there is nothing to roll back".to_owned(),
            format!("see where it stands: `cargo xtask rotate {environment} --plan`"),
        ),
        Refusal::TooLateToRollBack { until } => (
            format!("the old key dies at {until:.0}, too soon to bring it back"),
            format!("go forward: `cargo xtask rotate {environment} --resume`"),
        ),
        Refusal::NothingToAdopt => (
            "no rotation waits for a key".to_owned(),
            format!("see where it stands: `cargo xtask rotate {environment} --plan`"),
        ),
        Refusal::NothingToConfirm => (
            "no rotation has an unknown outcome".to_owned(),
            format!("see where it stands: `cargo xtask rotate {environment} --plan`"),
        ),
    }
}

/// What is known about what runs, in one word.
pub(crate) fn adoption_word(adoption: Adoption) -> &'static str {
    match adoption {
        Adoption::Proved => "proved",
        Adoption::Shipped => "shipped",
        Adoption::Unproven => "unproven",
    }
}
