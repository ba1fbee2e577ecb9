//! What a run does next. Decided here, performed by the shell: one step, one entry, and the same question again.
//!
//! [`next`] looks at where the rotation stands, at what this run did so far, and at what a person wishes. The functions
//! named `after_…` turn what was seen into the entry that is to be written. Nothing here remembers anything: what must
//! outlive a run is in the trail, and the rest is [`Run`].

use alloc::{borrow::ToOwned, boxed::Box, collections::BTreeSet, format, string::String, vec::Vec};

use jiff::Timestamp;

use crate::{
    key::Fingerprint,
    rotation::{
        claim::{Bounds, Claim, RETRY_AFTER_SECS_MAX, later, secs_until},
        event::{
            Adoption, BlobHash, BodySource, Fact, IntentTerms, NotRotated, RotationEvent, RotationId, RunId, Snapshot,
            Which,
        },
        outcome::{Against, CallClass, CallOutcome, Conclusion, classify},
        state::{Grace, Keys, Last, Open, Phase, State},
    },
};

/// How often the one call may be tried when every try is proved not to have been sent.
pub const CALL_TRIES_MAX: u32 = 3;
/// The least time before the end of the grace at which the old key may still be brought back, in seconds.
pub const ROLLBACK_MARGIN_SECS: u64 = 6 * 60 * 60;

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// A new key. An open rotation is resumed instead.
    Rotate(Overlap),
    /// The open rotation goes on.
    Resume,
    /// The old key goes back into the stores.
    RollBack,
    /// The new key was brought from the authority's portal.
    Adopt,
    /// A person looked: the authority did not rotate.
    ConfirmNotRotated,
}

/// Whether the grace of the rotation before must be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// It must: an authority that keeps one previous key would kill the older one at once.
    Required,
    /// A person accepts that.
    Waived,
}

/// Whether a repeated idempotency key gives the same answer again: a declaration about the authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Idempotency {
    /// It does: the call can be repeated for its answer.
    Honored,
    /// It does not, or nobody knows: a repeated call may rotate again.
    Ignored,
}

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Take the environment, or keep it for longer.
    Claim,
    /// Prove everything that can be proved before anything changes, seal the old key, and write the intent.
    Prepare {
        /// The intent's epoch.
        epoch: u64,
    },
    /// Check [`State::may_call`] on the trail as it is now, then send the one call.
    Call(Open),
    /// See whether an answer of this rotation was sealed by a run that did not live to say so.
    LookInEscrow(Open),
    /// Wait.
    Settle {
        /// The rotation.
        open: Open,
        /// Until when.
        until: Timestamp,
    },
    /// Find out whether the authority rotated.
    Reconcile(Open),
    /// See whether anything speaks against a person's word that nothing was rotated, where a rotation was concluded, or
    /// was answered.
    Confirm {
        /// The rotation.
        open: Open,
        /// The sealed answer, where there is one.
        blob: Option<BlobHash>,
    },
    /// Check [`State::may_repeat`] on the trail as it is now, then send the call again with the same idempotency key.
    Repeat(Open),
    /// Seal the new key that the authority's list shows.
    SealListed(Open),
    /// Seal the new key that a person brought.
    SealBrought(Open),
    /// Open the sealed answer and ask the authority about the new key, with patience.
    Validate {
        /// The rotation.
        open: Open,
        /// The sealed answer.
        blob: BlobHash,
    },
    /// Bring a key into a store: read, write unless it is there, read back.
    Store {
        /// Both keys.
        keys: Keys,
        /// The store.
        store: String,
        /// Which of the keys.
        key: Which,
    },
    /// Ask the authority whether the old key is dead and the new one alive.
    Close {
        /// Both keys.
        keys: Keys,
        /// What is known about what runs.
        adoption: Adoption,
    },
    /// Nothing has to be done for this entry but to write it.
    Write(RotationEvent),
    /// There is nothing more that this run can do.
    End(End),
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Somebody else has the environment.
    Held(Claim),
    /// There was nothing to go on with.
    NothingOpen(Last),
    /// What was wished cannot be done now. Nothing changed.
    Refused(Refusal),
    /// The authority did not rotate.
    Aborted(NotRotated),
    /// Nobody knows whether the authority rotated.
    Unknown {
        /// The rotation. Nothing breaks before [`Open::grace_end_earliest`].
        open: Open,
    },
    /// Rotated, and the new key is gone.
    KeyLost {
        /// The rotation.
        open: Open,
        /// Until then nothing is broken.
        deadline: Timestamp,
        /// The sealed answer, where it could only be printed.
        printed: Option<BlobHash>,
    },
    /// The new key is sealed, and could not be opened or asked about yet.
    NotValidated {
        /// The rotation.
        open: Open,
    },
    /// The sealed answer gave no key that the authority accepts.
    Rejected {
        /// The rotation.
        open: Open,
    },
    /// Some stores hold the new key, and some do not.
    Partial {
        /// Both keys.
        keys: Keys,
        /// Those that do not.
        missing: BTreeSet<String>,
        /// Which key they are to hold.
        key: Which,
    },
    /// Every store holds the new key.
    Committed {
        /// Both keys.
        keys: Keys,
        /// What is known about what runs.
        adoption: Adoption,
    },
    /// Every store holds the new key and the grace is over, and that the old key is dead and the new one alive was not
    /// seen.
    NotClosed {
        /// Both keys.
        keys: Keys,
        /// What was seen of the old key.
        old: Liveness,
        /// What was seen of the new one.
        new: Liveness,
    },
    /// Every store holds the old key, which will die.
    RolledBack(Keys),
}

/// Why a wish is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The grace of the rotation before is not over.
    GraceOpen {
        /// When it is.
        until: Timestamp,
    },
    /// The grace is over, and the old key was not seen dead.
    OldKeyNotDead,
    /// The old key is back in the stores: that rotation is to be rolled forward first.
    RolledBack {
        /// When the old key dies.
        until: Timestamp,
    },
    /// No store was written yet, so there is nothing to roll back.
    NothingToRollBack,
    /// The old key dies too soon to bring it back.
    TooLateToRollBack {
        /// When it dies.
        until: Timestamp,
    },
    /// No rotation waits for a key.
    NothingToAdopt,
    /// No rotation has an unknown outcome.
    NothingToConfirm,
}

/// What this run did so far. It dies with the run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Run {
    /// The run.
    pub id: RunId,
    /// The intent that it wrote.
    intent: Option<RotationId>,
    call: OwnCall,
    looked: Looked,
    /// The end of the settling, as the trail has it, that this run has waited for as long as it makes sense.
    waited_for: Option<Timestamp>,
    /// The stores that could not be given their key.
    failed: BTreeSet<String>,
    /// What was seen of the old key and of the new one, when the rotation was to be closed and could not be.
    not_closed: Option<(Liveness, Liveness)>,
    progress: Progress,
    /// What it did with the grace of the rotation before.
    grace: Grace,
    /// Why nothing came of the rotation that it began.
    aborted: Option<NotRotated>,
    /// Why nothing came of the rotation that it went on with.
    concluded: Option<NotRotated>,
}

/// This run's own call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum OwnCall {
    /// It may be sent, this many tries having failed to.
    MayBeSent { tries: u32 },
    /// It was, or may have been.
    Sent { tries: u32 },
}

/// What this run has looked at, of the things that it looks at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Looked {
    Nowhere,
    InEscrow,
    /// There, and a repeated call was announced.
    Repeats,
    /// There, and at what came of it.
    Repeated,
}

/// How far this run got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Progress {
    /// It wrote nothing about a rotation.
    None,
    /// It went a step.
    Went,
    /// It cannot go on from here.
    Stuck,
}

impl Run {
    /// A run that did nothing yet.
    pub fn new(id: RunId) -> Self {
        Self {
            id,
            intent: None,
            call: OwnCall::MayBeSent { tries: 0 },
            looked: Looked::Nowhere,
            waited_for: None,
            failed: BTreeSet::new(),
            not_closed: None,
            progress: Progress::None,
            grace: Grace::Kept,
            aborted: None,
            concluded: None,
        }
    }

    /// This run wrote an entry, and the trail has it.
    pub fn wrote(&mut self, event: &RotationEvent) {
        if event.fact == Fact::OverlapWaived {
            self.grace = Grace::GivenUp;
        }
        if let Fact::Aborted { why } = &event.fact {
            let is_its_own = self.intent.as_ref() == Some(&event.rotation_id);
            let ended = if is_its_own { &mut self.aborted } else { &mut self.concluded };
            *ended = Some(why.clone());
        }
        self.progress = match &event.fact {
            Fact::NewRejected { .. } | Fact::KeyLost { .. } => Progress::Stuck,
            // The rotation before is not what this run is about.
            Fact::OverlapWaived | Fact::Closed { .. } | Fact::Adopted { .. } => self.progress,
            Fact::Intent(_) => {
                self.intent = Some(event.rotation_id.clone());
                Progress::Went
            }
            Fact::StoreFailed { store, .. } => {
                self.failed.insert(store.clone());
                Progress::Went
            }
            Fact::RollbackStarted | Fact::RolledForward => {
                self.failed.clear();
                Progress::Went
            }
            Fact::Repeating { .. } => {
                self.looked = Looked::Repeats;
                Progress::Went
            }
            Fact::OutcomeUnknown { .. }
            | Fact::Received { .. }
            | Fact::Validated { .. }
            | Fact::StoreHolds { .. }
            | Fact::Committed
            | Fact::Aborted { .. }
            | Fact::RolledBack
            | Fact::NotKnown => Progress::Went,
        };
    }

    /// The call is about to be sent: to be said before the first byte leaves.
    pub fn sends(&mut self) {
        let (OwnCall::MayBeSent { tries } | OwnCall::Sent { tries }) = self.call;
        self.call = OwnCall::Sent { tries };
    }

    /// What was to be found out could not be: this run ends where the rotation stands.
    pub fn is_stuck(&mut self) {
        self.progress = Progress::Stuck;
    }

    /// Whether this run wrote the intent of a rotation, and may still send its call.
    fn may_send(&self, open: &Open) -> bool {
        match self.call {
            OwnCall::MayBeSent { .. } => self.intent.as_ref() == Some(&open.id),
            OwnCall::Sent { .. } => false,
        }
    }
}

/// When a run ends that somebody wants to stop between two steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopping {
    /// At once: the next run goes on from here.
    Now,
    /// After this entry. Nothing of its call was sent, which only this run knows: the next one would have to wait, and to
    /// ask a person.
    After(Box<RotationEvent>),
}

/// Decides when a run ends that somebody wants to stop.
pub fn stopping(state: &State, run: &Run) -> Stopping {
    if let Phase::Calling(open) = &state.phase
        && run.may_send(open)
    {
        let fact = Fact::Aborted { why: NotRotated::NotSent };
        return Stopping::After(Box::new(RotationEvent { rotation_id: open.id.clone(), fact }));
    }
    Stopping::Now
}

/// Decides the next step. Whatever comes of it is written into the trail before this is asked again.
pub fn next(state: &State, run: &Run, wish: Wish, idempotency: Idempotency, bounds: &Bounds, now: Timestamp) -> Step {
    if let Some(other) = state.claim.as_ref().filter(|claim| claim.keeps_out(&run.id, now)) {
        return Step::End(End::Held(other.clone()));
    }
    let step = wanted(state, run, (wish, idempotency), bounds, now);
    match needed_secs(&step, bounds, now) {
        None => step,
        Some(secs) if state.claim.as_ref().is_some_and(|claim| claim.lasts(&run.id, now, secs)) => step,
        Some(_) => Step::Claim,
    }
}

/// How long the claim must last for a step, in seconds; nothing for what needs no claim.
fn needed_secs(step: &Step, bounds: &Bounds, now: Timestamp) -> Option<u64> {
    match step {
        Step::End(_) => None,
        Step::Claim | Step::Write(_) => Some(0),
        Step::Prepare { .. } => Some(bounds.preflight_secs),
        Step::Call(_) | Step::Repeat(_) => Some(bounds.call_secs),
        Step::Settle { until, .. } => Some(secs_until(now, *until)),
        Step::LookInEscrow(_)
        | Step::Reconcile(_)
        | Step::Confirm { .. }
        | Step::SealListed(_)
        | Step::SealBrought(_) => Some(bounds.look_secs),
        Step::Validate { .. } | Step::Close { .. } => Some(bounds.validate_secs),
        Step::Store { .. } => Some(bounds.store_secs),
    }
}

/// The next step of a run that has the environment.
fn wanted(state: &State, run: &Run, (wish, idempotency): (Wish, Idempotency), bounds: &Bounds, now: Timestamp) -> Step {
    match &state.phase {
        Phase::Idle(last) => idle(last, state.epoch, run, wish),
        Phase::Calling(open) if run.may_send(open) => Step::Call(open.clone()),
        // Somebody's call, or ours whose end was not written: an answer may have been sealed.
        Phase::Calling(open) => Step::LookInEscrow(open.clone()),
        Phase::Unknown { open, settle_until } => unknown(open, *settle_until, run, (wish, idempotency), bounds, now),
        Phase::KeyLost { open, deadline, printed } => match key_lost(open, run, wish) {
            Some(step) => step,
            None => Step::End(End::KeyLost { open: open.clone(), deadline: *deadline, printed: *printed }),
        },
        Phase::Received { open, blob } => match (wish, run.progress) {
            (Wish::RollBack, _) => refused(Refusal::NothingToRollBack),
            (_, Progress::Stuck) => Step::End(End::NotValidated { open: open.clone() }),
            (Wish::Adopt, Progress::None) => Step::SealBrought(open.clone()),
            (_, Progress::None | Progress::Went) => Step::Validate { open: open.clone(), blob: *blob },
        },
        Phase::NewRejected { open, blob } => match (wish, run.progress) {
            (Wish::RollBack, _) => refused(Refusal::NothingToRollBack),
            (_, Progress::Stuck) => Step::End(End::Rejected { open: open.clone() }),
            (Wish::Adopt, _) => Step::SealBrought(open.clone()),
            (Wish::ConfirmNotRotated, _) => Step::Confirm { open: open.clone(), blob: Some(*blob) },
            (_, Progress::None | Progress::Went) => Step::Validate { open: open.clone(), blob: *blob },
        },
        Phase::Promoting { keys, done } => match (wish, run.progress) {
            (Wish::RollBack, _) => start_rollback(keys, now),
            (Wish::Adopt, Progress::None) => Step::SealBrought(keys.open.clone()),
            (Wish::Rotate(_) | Wish::Resume | Wish::Adopt | Wish::ConfirmNotRotated, _) => promote(keys, done, run),
        },
        Phase::Committed { keys, adoption } => committed(state, keys, *adoption, run, wish, now),
        // The old key dies in the stores: forward, whatever was wished.
        Phase::RollingBack { keys, .. } if now >= keys.grace_ends_at => write(&keys.open, Fact::RolledForward),
        Phase::RollingBack { keys, done } => restore(keys, done, run),
        Phase::RolledBack(keys) => rolled_back(keys, run, wish, now),
    }
}

fn idle(last: &Last, epoch: u64, run: &Run, wish: Wish) -> Step {
    if run.intent.is_some() || run.progress == Progress::Stuck {
        return Step::End(match last {
            Last::Aborted(why) => End::Aborted(why.clone()),
            Last::None | Last::Closed(_) | Last::OverlapWaived => End::NothingOpen(last.clone()),
        });
    }
    match wish {
        Wish::Rotate(_) => Step::Prepare { epoch: epoch + 1 },
        Wish::Resume => Step::End(End::NothingOpen(last.clone())),
        Wish::ConfirmNotRotated => match (run.progress, last) {
            (Progress::Went, Last::Aborted(_)) => Step::End(End::NothingOpen(last.clone())),
            (Progress::None | Progress::Went | Progress::Stuck, _) => refused(Refusal::NothingToConfirm),
        },
        Wish::RollBack => refused(Refusal::NothingToRollBack),
        Wish::Adopt => refused(Refusal::NothingToAdopt),
    }
}

fn unknown(
    open: &Open,
    settle_until: Timestamp,
    run: &Run,
    (wish, idempotency): (Wish, Idempotency),
    bounds: &Bounds,
    now: Timestamp,
) -> Step {
    if wish == Wish::RollBack {
        return refused(Refusal::NothingToRollBack);
    }
    if run.progress == Progress::Stuck {
        return Step::End(End::Unknown { open: open.clone() });
    }
    match run.looked {
        Looked::Nowhere => return Step::LookInEscrow(open.clone()),
        Looked::Repeats => return Step::Repeat(open.clone()),
        Looked::InEscrow | Looked::Repeated => {}
    }
    if now < settle_until && run.waited_for != Some(settle_until) {
        let until = settle_until.min(later(now, bounds.wait_secs_max()));
        return Step::Settle { open: open.clone(), until };
    }
    match (wish, idempotency, run.looked) {
        (Wish::Adopt, _, _) => Step::SealBrought(open.clone()),
        (_, Idempotency::Honored, Looked::InEscrow) => {
            let settle_secs = bounds.call_window_secs().saturating_add(bounds.settle_secs);
            write(open, Fact::Repeating { settle_until: later(now, settle_secs) })
        }
        (_, Idempotency::Ignored, _)
        | (_, Idempotency::Honored, Looked::Nowhere | Looked::Repeats | Looked::Repeated) => {
            Step::Reconcile(open.clone())
        }
    }
}

/// What can be done about a lost key.
fn key_lost(open: &Open, run: &Run, wish: Wish) -> Option<Step> {
    match (wish, run.looked) {
        (Wish::RollBack, _) => Some(refused(Refusal::NothingToRollBack)),
        (_, Looked::Nowhere) => Some(Step::LookInEscrow(open.clone())),
        (Wish::Adopt, Looked::InEscrow | Looked::Repeats | Looked::Repeated) if run.progress != Progress::Stuck => {
            Some(Step::SealBrought(open.clone()))
        }
        (Wish::ConfirmNotRotated, Looked::InEscrow | Looked::Repeats | Looked::Repeated)
            if run.progress != Progress::Stuck =>
        {
            Some(Step::Confirm { open: open.clone(), blob: None })
        }
        (_, Looked::InEscrow | Looked::Repeats | Looked::Repeated) => None,
    }
}

fn promote(keys: &Keys, done: &BTreeSet<String>, run: &Run) -> Step {
    stores(keys, done, run, Which::New).unwrap_or_else(|| write(&keys.open, Fact::Committed))
}

fn restore(keys: &Keys, done: &BTreeSet<String>, run: &Run) -> Step {
    stores(keys, done, run, Which::Old).unwrap_or_else(|| write(&keys.open, Fact::RolledBack))
}

/// The next store that is not done, or the end when those that are left have failed; nothing when all are done.
fn stores(keys: &Keys, done: &BTreeSet<String>, run: &Run, key: Which) -> Option<Step> {
    let missing: BTreeSet<String> = keys.open.missing(done).cloned().collect();
    let untried = keys.open.missing(done).find(|store| !run.failed.contains(*store));
    match untried {
        Some(store) => Some(Step::Store { keys: keys.clone(), store: store.clone(), key }),
        None if missing.is_empty() => None,
        None => Some(Step::End(End::Partial { keys: keys.clone(), missing, key })),
    }
}

fn start_rollback(keys: &Keys, now: Timestamp) -> Step {
    if later(now, ROLLBACK_MARGIN_SECS) < keys.grace_ends_at {
        return write(&keys.open, Fact::RollbackStarted);
    }
    refused(Refusal::TooLateToRollBack { until: keys.grace_ends_at })
}

fn committed(state: &State, keys: &Keys, adoption: Adoption, run: &Run, wish: Wish, now: Timestamp) -> Step {
    // It gave up this grace for a rotation that came to nothing.
    if let Some(why) = &run.aborted {
        return Step::End(End::Aborted(why.clone()));
    }
    if let (Wish::Resume | Wish::ConfirmNotRotated, Some(why)) = (wish, &run.concluded) {
        return Step::End(End::Aborted(why.clone()));
    }
    let stands = || match run.not_closed {
        Some((old, new)) => Step::End(End::NotClosed { keys: keys.clone(), old, new }),
        None => Step::End(End::Committed { keys: keys.clone(), adoption }),
    };
    match (wish, run.progress) {
        (Wish::RollBack, Progress::None) => start_rollback(keys, now),
        (_, Progress::Went) | (Wish::Resume | Wish::RollBack, Progress::Stuck) => stands(),
        (Wish::Adopt, _) => refused(Refusal::NothingToAdopt),
        (Wish::ConfirmNotRotated, _) => refused(Refusal::NothingToConfirm),
        // Whoever gives it up has looked whether it may: a run goes on with its own word only.
        (Wish::Rotate(Overlap::Waived), _) if (state.grace, run.grace) == (Grace::GivenUp, Grace::GivenUp) => {
            Step::Prepare { epoch: state.epoch + 1 }
        }
        (Wish::Rotate(Overlap::Waived), _) => write(&keys.open, Fact::OverlapWaived),
        (Wish::Rotate(Overlap::Required), Progress::None) if now < keys.grace_ends_at => {
            refused(Refusal::GraceOpen { until: keys.grace_ends_at })
        }
        // Only where nothing else is wrong it is for the old key that no other rotation begins.
        (Wish::Rotate(Overlap::Required), Progress::Stuck) => match run.not_closed {
            Some((_, Liveness::Refused | Liveness::NotAsked)) => stands(),
            Some((_, Liveness::Accepted)) | None => refused(Refusal::OldKeyNotDead),
        },
        (Wish::Resume, Progress::None) if now < keys.grace_ends_at => stands(),
        (Wish::Rotate(Overlap::Required) | Wish::Resume, Progress::None) => {
            Step::Close { keys: keys.clone(), adoption }
        }
    }
}

fn rolled_back(keys: &Keys, run: &Run, wish: Wish, now: Timestamp) -> Step {
    let is_over = now >= keys.grace_ends_at;
    match (wish, run.progress) {
        (_, Progress::Went | Progress::Stuck) | (Wish::RollBack, Progress::None) => {
            Step::End(End::RolledBack(keys.clone()))
        }
        (Wish::Resume, Progress::None) => write(&keys.open, Fact::RolledForward),
        (Wish::Rotate(_), Progress::None) if is_over => write(&keys.open, Fact::RolledForward),
        (Wish::Rotate(_), Progress::None) => refused(Refusal::RolledBack { until: keys.grace_ends_at }),
        (Wish::Adopt, Progress::None) => refused(Refusal::NothingToAdopt),
        (Wish::ConfirmNotRotated, Progress::None) => refused(Refusal::NothingToConfirm),
    }
}

fn write(open: &Open, fact: Fact) -> Step {
    Step::Write(RotationEvent { rotation_id: open.id.clone(), fact })
}

fn refused(refusal: Refusal) -> Step {
    Step::End(End::Refused(refusal))
}

/// What a key is that is not the current one, as the trail knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCurrent {
    /// It is the old key of the rotation before.
    RotatedAway,
    /// It is neither of its keys.
    Unknown,
}

/// What keeps a run with this key from giving up the grace of the rotation before: the next call replaces what the
/// authority has now, and a run that has another key would take the wrong one for the old one. After the grace an unknown
/// key is none of that rotation's business.
pub fn not_current(keys: &Keys, key: Fingerprint, now: Timestamp) -> Option<NotCurrent> {
    if key == keys.new {
        return None;
    }
    if key == keys.open.terms.old {
        return Some(NotCurrent::RotatedAway);
    }
    (now < keys.grace_ends_at).then_some(NotCurrent::Unknown)
}

/// The intent. Its call ends before the deadline, which is what a run that finds only the intent goes by.
pub fn intent(
    epoch: u64,
    old: (Fingerprint, BlobHash),
    snapshot: Snapshot,
    grace_days: u32,
    stores: Vec<String>,
    bounds: &Bounds,
    now: Timestamp,
) -> Fact {
    let (old, old_blob) = old;
    let call_deadline = later(now, bounds.call_window_secs());
    Fact::Intent(IntentTerms { epoch, old, old_blob, snapshot, grace_days, call_deadline, stores })
}

/// The entry after the call, or nothing when the same call is to be tried again: no try of it was ever sent.
pub fn after_call(open: &Open, run: &mut Run, outcome: &CallOutcome, bounds: &Bounds, now: Timestamp) -> CallEnd {
    let (OwnCall::MayBeSent { tries } | OwnCall::Sent { tries }) = run.call;
    let fact = match (classify(outcome), outcome) {
        (CallClass::Seal, _) => return CallEnd::Seal,
        (CallClass::MayRepeat, _) => {
            let tries = tries + 1;
            run.call = OwnCall::MayBeSent { tries };
            if tries < CALL_TRIES_MAX && later(now, bounds.call_secs) <= open.terms.call_deadline {
                return CallEnd::TryAgain;
            }
            Fact::Aborted { why: NotRotated::NotSent }
        }
        (CallClass::Over, CallOutcome::Refused { code }) => {
            Fact::Aborted { why: NotRotated::Refused { code: code.clone() } }
        }
        (CallClass::Over | CallClass::Settle, CallOutcome::RetryAfter { secs }) => {
            let why = match secs {
                0 => "the authority asked to wait".to_owned(),
                secs => format!("the authority asked to wait {secs} s"),
            };
            unknown_since(now, &why, bounds.settle_secs.max((*secs).min(RETRY_AFTER_SECS_MAX)))
        }
        (CallClass::Over | CallClass::Settle, CallOutcome::InProgress) => {
            unknown_since(now, "another rotation is in progress", bounds.settle_secs)
        }
        (CallClass::Over | CallClass::Settle, CallOutcome::Unknown { why }) => {
            unknown_since(now, why, bounds.settle_secs)
        }
        (CallClass::Over | CallClass::Settle, CallOutcome::NotSent | CallOutcome::Body)
        | (CallClass::Settle, CallOutcome::Refused { .. }) => {
            unknown_since(now, "the outcome makes no sense", bounds.settle_secs)
        }
    };
    CallEnd::Write(Box::new(fact))
}

/// What the outcome of the call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEnd {
    /// Seal the body at once, then write that it was received.
    Seal,
    /// Nothing was sent: ask [`next`] again.
    TryAgain,
    /// Write this entry.
    Write(Box<Fact>),
}

fn unknown_since(now: Timestamp, why: &str, settle_secs: u64) -> Fact {
    Fact::OutcomeUnknown { why: why.to_owned(), settle_until: later(now, settle_secs) }
}

/// The sealed answer is durable.
pub fn received(blob: BlobHash, source: BodySource) -> Fact {
    Fact::Received { blob, source }
}

/// The new key could not be kept anywhere. Where the sealed answer was printed, it can be brought back.
pub fn lost(open: &Open, printed: Option<BlobHash>) -> Fact {
    Fact::KeyLost { deadline: open.grace_end_earliest(), printed }
}

/// The entry after a look into the escrow. What nobody finished counts as sent at the last possible moment.
pub fn after_look(state: &State, run: &mut Run, found: Option<BlobHash>, bounds: &Bounds) -> Option<Fact> {
    run.looked = run.looked.max(Looked::InEscrow);
    if let Some(blob) = found {
        return Some(received(blob, BodySource::Escrow));
    }
    match &state.phase {
        Phase::Calling(open) => Some(Fact::OutcomeUnknown {
            why: "the run that was to call did not say how it ended".to_owned(),
            settle_until: later(open.terms.call_deadline, bounds.settle_secs),
        }),
        Phase::Idle(_)
        | Phase::Unknown { .. }
        | Phase::KeyLost { .. }
        | Phase::Received { .. }
        | Phase::NewRejected { .. }
        | Phase::Promoting { .. }
        | Phase::Committed { .. }
        | Phase::RollingBack { .. }
        | Phase::RolledBack(_) => None,
    }
}

/// A [`Step::Settle`] was waited out: what the trail says of a later moment is not waited for again.
pub fn after_settle(state: &State, run: &mut Run) {
    match &state.phase {
        Phase::Unknown { settle_until, .. } => run.waited_for = Some(*settle_until),
        Phase::Idle(_)
        | Phase::Calling(_)
        | Phase::KeyLost { .. }
        | Phase::Received { .. }
        | Phase::NewRejected { .. }
        | Phase::Promoting { .. }
        | Phase::Committed { .. }
        | Phase::RollingBack { .. }
        | Phase::RolledBack(_) => {}
    }
}

/// The entry after repeating a call whose idempotency key is honored: only an answer proves anything.
pub fn after_repeat(run: &mut Run, outcome: &CallOutcome) -> CallEnd {
    run.looked = Looked::Repeated;
    match classify(outcome) {
        CallClass::Seal => CallEnd::Seal,
        CallClass::MayRepeat | CallClass::Over | CallClass::Settle => CallEnd::TryAgain,
    }
}

/// What reconciling asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reconciled {
    /// Write this entry.
    Write(Box<Fact>),
    /// Seal the key that the list shows, then write that it was received.
    SealListed,
    /// Nothing is proved: the run is stuck.
    CannotTell,
}

/// What the evidence, gathered after settling, comes to. A person's word counts where nothing speaks against it.
pub fn after_reconcile(open: &Open, conclusion: Conclusion, wish: Wish, idempotency: Idempotency) -> Reconciled {
    let fact = match (conclusion, wish) {
        (Conclusion::Recoverable, _) => return Reconciled::SealListed,
        // The key is not gone: the next run repeats the call for it.
        (Conclusion::KeyGone, _) if idempotency == Idempotency::Honored => return Reconciled::CannotTell,
        // Nor is it while a person has not looked at what came of it; and the authority did rotate, whatever is confirmed.
        (Conclusion::InPart, _)
        | (Conclusion::CannotTell, Wish::Rotate(_) | Wish::Resume | Wish::RollBack | Wish::Adopt) => {
            return Reconciled::CannotTell;
        }
        (Conclusion::InEscrow(blob), _) => received(blob, BodySource::Escrow),
        (Conclusion::KeyGone, _) => lost(open, None),
        (Conclusion::NotRotated, _) => Fact::Aborted { why: NotRotated::Reconciled },
        (Conclusion::CannotTell, Wish::ConfirmNotRotated) => Fact::Aborted { why: NotRotated::Confirmed },
    };
    Reconciled::Write(Box::new(fact))
}

/// The entry after a look at what speaks against a person's word; nothing where something does.
pub fn after_confirm(run: &mut Run, against: Option<Against>) -> Option<Fact> {
    if against.is_some() {
        run.is_stuck();
        return None;
    }
    Some(Fact::Aborted { why: NotRotated::Confirmed })
}

/// What was found out about the new key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NewKey {
    /// The authority accepts it, and its license includes what the old one's did.
    Accepted {
        /// The key.
        new: Fingerprint,
        /// When the old key ends, where the authority said so.
        grace_ends_at: Option<Timestamp>,
    },
    /// The sealed answer has no key, or the authority keeps refusing it.
    Unusable {
        /// What was seen.
        why: String,
    },
    /// The sealed answer could not be opened, or the authority could not be asked.
    NotAsked,
}

/// The entry after a look at the new key; nothing when that look is still to be had.
pub fn after_validation(open: &Open, run: &mut Run, seen: NewKey) -> Option<Fact> {
    match seen {
        NewKey::Accepted { new, .. } if new == open.terms.old => {
            Some(Fact::NewRejected { why: "the new key is the old one".to_owned() })
        }
        NewKey::Accepted { new, grace_ends_at } => Some(Fact::Validated { new, grace_ends_at }),
        NewKey::Unusable { why } => Some(Fact::NewRejected { why }),
        NewKey::NotAsked => {
            run.is_stuck();
            None
        }
    }
}

/// What a store shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shown {
    /// A key.
    Key(Fingerprint),
    /// That it has none.
    Nothing,
    /// It shows no key to anybody.
    Hidden,
}

/// What a look at a store asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforeWrite {
    /// It holds the key already: a write would burn a version for nothing.
    HoldsIt,
    /// Write.
    Write,
    /// It holds a third key: somebody else writes it, and nothing may be written over that.
    Drifted,
}

/// Read before write.
pub fn before_write(keys: &Keys, key: Which, shown: Shown) -> BeforeWrite {
    let (wanted, other) = match key {
        Which::New => (keys.new, keys.open.terms.old),
        Which::Old => (keys.open.terms.old, keys.new),
    };
    match shown {
        Shown::Key(found) if found == wanted => BeforeWrite::HoldsIt,
        Shown::Key(found) if found == other => BeforeWrite::Write,
        Shown::Key(_) => BeforeWrite::Drifted,
        Shown::Nothing | Shown::Hidden => BeforeWrite::Write,
    }
}

/// Whether the authority accepts a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// It does.
    Accepted,
    /// It does not.
    Refused,
    /// It could not be asked.
    NotAsked,
}

/// The entry after the grace, or nothing while the old key is not proved dead and the new one alive.
pub fn after_close(run: &mut Run, old: Liveness, new: Liveness, adoption: Adoption) -> Option<Fact> {
    match (old, new) {
        (Liveness::Refused, Liveness::Accepted) => Some(Fact::Closed { adoption }),
        (
            Liveness::Refused | Liveness::Accepted | Liveness::NotAsked,
            Liveness::Accepted | Liveness::Refused | Liveness::NotAsked,
        ) => {
            run.not_closed = Some((old, new));
            run.is_stuck();
            None
        }
    }
}

#[cfg(test)]
mod tests;
