//! The one call, and what it brings: sealed before anybody reads it.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use license_core::{
    LicenseKey,
    rotation::{
        self, BlobHash, BodySource, Bounds, CallEnd, CallOutcome, Fact, Liveness, Open, Part, Phase, RotationId, Run,
        after_call, after_repeat,
    },
};
use zeroize::Zeroizing;

use super::{Lies, RotateError, Scene};
use crate::{
    authority::{Answered, RotateOrder, read_rotated},
    console, context,
    escrow::{BlobKind, EscrowError, Kept, Reached},
    failpoint,
    failure::{self, Failure},
    journal::Journal,
    keyring,
    seal::{ARMOR_BYTES_MAX, Sealed},
    signals,
};

/// The most that is read from stdin, in bytes: the longest sealed answer that was printed.
const BROUGHT_BYTES_MAX: u64 = ARMOR_BYTES_MAX as u64;
/// What to do with what came of an answer that was cut off.
const LOOK_INTO_IT: &str = "look whether the new key is in it, with `age --decrypt`";
/// How a sealed answer begins, when one is brought instead of a key.
const ARMOR_BEGINS: &str = "-----BEGIN AGE ENCRYPTED FILE-----";

impl Scene<'_> {
    /// Looks at the trail as it is now, and sends the call once if it is still ours to send.
    pub(super) fn call(
        &mut self,
        journal: &mut Journal,
        run: &mut Run,
        open: &Open,
        bounds: &Bounds,
    ) -> Result<Option<(RotationId, Fact)>, Failure> {
        journal.refresh()?;
        let outcome = if journal.state().may_call(&run.id, &open.id, context::now(), bounds.call_secs) {
            run.sends();
            match self.send_and_keep(open, bounds) {
                Ok(fact) => return Ok(Some((open.id.clone(), fact))),
                Err(outcome) => outcome,
            }
        } else if is_still_calling(journal, run, open) {
            CallOutcome::NotSent
        } else {
            // Somebody else took over: what is next is asked of the trail as it is now.
            return Ok(None);
        };
        Ok(to_write(open, after_call(open, run, &outcome, bounds, context::now())))
    }

    /// The same call again, where the authority is declared to answer it with the same key.
    pub(super) fn repeat(
        &mut self,
        journal: &mut Journal,
        run: &mut Run,
        open: &Open,
        bounds: &Bounds,
    ) -> Result<Option<(RotationId, Fact)>, Failure> {
        journal.refresh()?;
        let outcome = if journal.state().may_repeat(&run.id, &open.id, context::now(), bounds) {
            match self.send_and_keep(open, bounds) {
                Ok(fact) => return Ok(Some((open.id.clone(), fact))),
                Err(outcome) => outcome,
            }
        } else {
            CallOutcome::NotSent
        };
        Ok(to_write(open, after_repeat(run, &outcome)))
    }

    /// Sends the call, and keeps the answer before anything else happens. Without one, what was seen instead.
    fn send_and_keep(&mut self, open: &Open, bounds: &Bounds) -> Result<Fact, CallOutcome> {
        let narrator = self.narrator;
        let waiting = narrator.progress("asking the authority for a new key");
        let kept = match self.send(open, bounds) {
            Answered::Body(body) => Ok(self.keep(open, body, BodySource::Answer)),
            Answered::Cut(part) => self.keep_part(open, part),
            Answered::No(outcome) => Err(outcome),
        };
        // Not before: it waits for a terminal that takes nothing, and until then nobody has the key but this process.
        waiting.done();
        kept
    }

    /// Seals what came of an answer that was cut off, before it is looked at. Where its document is whole nothing of the
    /// key can be missing, and it is an answer like any other. Otherwise nobody knows what it holds: it is no answer, and
    /// a person can look at it.
    fn keep_part(&mut self, open: &Open, part: Zeroizing<Vec<u8>>) -> Result<Fact, CallOutcome> {
        match self.recipients.seal(&part) {
            Ok(sealed) => {
                let keep = || self.escrow.put(&open.id.0, BlobKind::Cut, &sealed);
                let kept =
                    self.told_at_a_signal(&sealed, "what came of an answer that was cut off", LOOK_INTO_IT, keep);
                failpoint::reached(self.ctx, "after-sealed");
                let kept = kept.map_err(|error| error.to_string()).and_then(|kept| self.outlives_the_machine(&kept));
                if let Err(why) = kept {
                    self.narrator.note(&format!(
                        "what came of an answer that was cut off cannot be kept in escrow: {why}\nthis is it, sealed; keep \
                         it, and {LOOK_INTO_IT}:\n{}",
                        sealed.armor()
                    ));
                }
            }
            Err(error) => {
                self.narrator
                    .note(&format!("what came of an answer that was cut off cannot be sealed, and is lost: {error}"));
            }
        }
        if read_rotated(&part).is_ok() {
            return Ok(self.keep(open, part, BodySource::Answer));
        }
        Err(CallOutcome::Unknown { why: format!("the answer was cut off after {} bytes", part.len()) })
    }

    /// Whether a part of an answer of this rotation lies in escrow.
    pub(super) fn part(&self, open: &Open) -> Result<Part, Failure> {
        let found = self.escrow.find(&open.id.0, BlobKind::Cut).map_err(|error| not_looked(&error))?;
        Ok(if found.is_some() { Part::InEscrow } else { Part::Nowhere })
    }

    /// Says where what came of the answer can be looked at, if only a part of it came.
    pub(super) fn tell_of_a_part(&self, open: &Open) -> Result<(), Failure> {
        let environment = &self.environment.name;
        match self.part(open)? {
            Part::Nowhere => {}
            Part::InEscrow => self.narrator.note(&format!(
                "the answer was cut off, and what came of it is sealed: `cargo xtask escrow open {environment} --rotation {} \
                 --kind cut` shows it; if the whole new key is in it, bring it with `cargo xtask rotate {environment} --adopt`",
                open.id.0
            )),
        }
        Ok(())
    }

    fn send(&self, open: &Open, bounds: &Bounds) -> Answered {
        let license_id = open.terms.snapshot.license_id.as_deref().unwrap_or_default();
        let answered = self.authority.rotate(&RotateOrder {
            license_id,
            grace_days: open.terms.grace_days,
            rotation_id: &open.id.0,
            timeout: Duration::from_secs(bounds.call_secs),
        });
        // Nothing stands between the answer and its seal but this.
        failpoint::reached(self.ctx, "after-answer");
        answered
    }

    /// Seals what came and keeps it. Where it cannot be kept it is printed, sealed; where it cannot be sealed either, it
    /// is lost, and the trail says so.
    pub(super) fn keep(&mut self, open: &Open, body: Zeroizing<Vec<u8>>, source: BodySource) -> Fact {
        match self.seal_and_keep(open, body) {
            Ok(hash) => rotation::received(hash, source),
            Err(NotKept::Nowhere { sealed, why }) => {
                self.narrator.note(&format!(
                    "the answer cannot be kept in escrow: {why}\nthis is the answer, sealed; keep it, and bring it back with \
                     `cargo xtask rotate {} --adopt`:\n{}",
                    self.environment.name,
                    sealed.armor()
                ));
                rotation::lost(open, Some(sealed.hash()))
            }
            Err(NotKept::HereOnly { sealed, why }) => {
                self.narrator.note(&format!(
                    "the answer lies on this machine only, which a CI system throws away: {why}\nthis run goes on with it; \
                     unless it says at its end that the answer lies where other machines see it, keep this, which is the \
                     answer, sealed, and bring it back with `cargo xtask rotate {} --adopt`:\n{}",
                    self.environment.name,
                    sealed.armor()
                ));
                rotation::lost(open, Some(sealed.hash()))
            }
            Err(NotKept::NotSealed { .. }) => rotation::lost(open, None),
        }
    }

    fn seal_and_keep(&mut self, open: &Open, body: Zeroizing<Vec<u8>>) -> Result<BlobHash, NotKept> {
        let sealed = self.recipients.seal(&body).map_err(|error| NotKept::NotSealed { why: error.to_string() })?;
        let hash = sealed.hash();
        let bring = format!("bring it back with `cargo xtask rotate {} --adopt`", self.environment.name);
        let keep = || self.escrow.put(&open.id.0, BlobKind::Answer, &sealed);
        let kept = self.told_at_a_signal(&sealed, "the answer", &bring, keep);
        failpoint::reached(self.ctx, "after-sealed");
        self.answer = Some((hash, body));
        let kept = match kept {
            Ok(kept) => kept,
            Err(error) => return Err(NotKept::Nowhere { sealed, why: error.to_string() }),
        };
        if let Reached::Failed(_) = kept.shared {
            self.lies = Lies::HereOnly;
        }
        match self.outlives_the_machine(&kept) {
            Ok(()) => Ok(hash),
            Err(why) => Err(NotKept::HereOnly { sealed, why }),
        }
    }

    /// Keeps an answer. A CI system that stops a run kills it seconds later, with the machine; so a signal that comes while
    /// other machines cannot see the answer yet has it printed at once.
    fn told_at_a_signal<T>(&self, sealed: &Sealed, what: &str, next: &str, keep: impl FnOnce() -> T) -> T {
        if self.ctx.actor().ci.is_none() {
            return keep();
        }
        let (narrator, until) = (self.narrator, self.signals);
        thread::scope(|scope| {
            let (kept, is_kept) = mpsc::channel::<()>();
            scope.spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = is_kept.recv_timeout(signals::LATENCY) {
                    if until.stop().is_some() {
                        narrator.note(&format!(
                            "a signal came, and it is not known yet whether other machines see {what}: this is it, sealed; \
                             unless this run says what became of it, keep it, and {next}:\n{}",
                            sealed.armor()
                        ));
                        return;
                    }
                }
            });
            let done = keep();
            drop(kept);
            done
        })
    }

    /// Whether what was kept is still there for the next run: a CI machine is thrown away, so that only the shared place
    /// counts on one; elsewhere the machine itself will do.
    pub(super) fn outlives_the_machine(&self, kept: &Kept) -> Result<(), String> {
        let is_ci = self.ctx.actor().ci.is_some();
        match &kept.shared {
            Reached::Failed(error) if is_ci => Err(error.to_string()),
            Reached::Failed(_) | Reached::Kept | Reached::NotConfigured => Ok(()),
        }
    }

    /// The hash of an answer that was sealed under this rotation, if there is one.
    pub(super) fn sealed(&self, open: &Open) -> Result<Option<BlobHash>, Failure> {
        Ok(self
            .escrow
            .find(&open.id.0, BlobKind::Answer)
            .map_err(|error| not_looked(&error))?
            .map(|armor| BlobHash::of(&armor)))
    }

    /// A key that a person brought on stdin, or a sealed answer that was printed.
    pub(super) fn seal_brought(&mut self, open: &Open, phase: &Phase) -> Result<Option<(RotationId, Fact)>, Failure> {
        let not_brought = |why: String| RotateError::NotBrought { why };
        self.narrator.note("reading the key, or the sealed answer, from stdin");
        let text =
            console::read_stdin(BROUGHT_BYTES_MAX, self.signals).map_err(|error| not_brought(error.to_string()))?;
        let text = text.map_err(|stop| RotateError::Stopped { exit: failure::stop_exit(stop) })?;
        let text = text.trim();
        let body = if text.starts_with(ARMOR_BEGINS) {
            let Some(identity) = self.identity() else {
                return Err(not_brought("it is sealed, and `[escrow] identity` is not set here".to_owned()).into());
            };
            identity?.open(format!("{text}\n").as_bytes()).map_err(|error| not_brought(error.to_string()))?
        } else {
            let key = LicenseKey::parse(text).map_err(|error| not_brought(error.to_string()))?;
            as_answer(&key)
        };
        self.is_the_one_that_is_meant(open, phase, &body)?;
        // Whoever brought it has it still: what cannot be kept is no fact, and is not printed.
        let hash = self.seal_and_keep(open, body).map_err(|error| match error {
            NotKept::Nowhere { why, .. } | NotKept::HereOnly { why, .. } | NotKept::NotSealed { why } => {
                RotateError::BroughtNotKept { why }
            }
        })?;
        Ok(Some((open.id.clone(), rotation::received(hash, BodySource::Portal))))
    }

    /// Where the new key of the rotation is known already, no other one is taken for it.
    fn is_the_one_that_is_meant(&mut self, open: &Open, phase: &Phase, body: &[u8]) -> Result<(), Failure> {
        let not_taken = |why: String| Err(RotateError::BroughtNotTaken { why }.into());
        let brought = read_rotated(body).map(|new| new.key);
        if let Ok(key) = &brought {
            keyring::meet(self.ctx, key);
        }
        let found = brought.as_ref().ok().map(LicenseKey::fingerprint);
        let known = match phase {
            // An answer that cannot be opened here says nothing; what was brought is asked about next.
            Phase::Received { blob, .. } => {
                self.answer(open, *blob).ok().and_then(|answer| Some(read_rotated(&answer).ok()?.key.fingerprint()))
            }
            Phase::Promoting { keys, .. } => Some(keys.new),
            Phase::Idle(_)
            | Phase::Calling(_)
            | Phase::Unknown { .. }
            | Phase::KeyLost { .. }
            | Phase::NewRejected { .. }
            | Phase::Committed { .. }
            | Phase::RollingBack { .. }
            | Phase::RolledBack(_) => None,
        };
        if let Some(known) = known.filter(|known| found != Some(*known)) {
            let found = found.map_or_else(|| "no key".to_owned(), |found| found.to_string());
            return not_taken(format!("it ({found}) is not the new key of this rotation ({known})"));
        }
        // Nothing asks about it again on the way into the stores.
        match (phase, &brought) {
            (Phase::Promoting { .. }, Ok(key)) => match self.liveness(key) {
                Liveness::Accepted => Ok(()),
                Liveness::Refused => not_taken("the authority refuses it".to_owned()),
                Liveness::NotAsked => not_taken("the authority could not be asked about it".to_owned()),
            },
            (_, Ok(_) | Err(_)) => Ok(()),
        }
    }
}

fn not_looked(error: &EscrowError) -> Failure {
    RotateError::NotOpened {
        what: "answer",
        why: error.to_string(),
        next: "make `.license/escrow` readable, and run the command again".to_owned(),
    }
    .into()
}

fn to_write(open: &Open, end: CallEnd) -> Option<(RotationId, Fact)> {
    match end {
        CallEnd::Write(fact) => Some((open.id.clone(), *fact)),
        CallEnd::Seal | CallEnd::TryAgain => None,
    }
}

/// Why a sealed answer is not in escrow.
enum NotKept {
    /// No place took it.
    Nowhere {
        /// What was to be kept.
        sealed: Sealed,
        /// Why.
        why: String,
    },
    /// This machine took it, which will not be there for the next run.
    HereOnly {
        /// What was to be kept.
        sealed: Sealed,
        /// Why the shared place did not take it.
        why: String,
    },
    /// It could not even be sealed.
    NotSealed {
        /// Why.
        why: String,
    },
}

/// A key in the form in which the authority answers.
pub(super) fn as_answer(key: &LicenseKey) -> Zeroizing<Vec<u8>> {
    let mut body = Zeroizing::new(Vec::with_capacity(key.reveal().len() + 16));
    // Writing into memory does not fail.
    let _ = serde_json::to_writer(&mut *body, &serde_json::json!({ "newKey": key.reveal() }));
    body
}

/// Whether the intent still stands and the environment is still ours: then only the time was too short to send.
fn is_still_calling(journal: &Journal, run: &Run, open: &Open) -> bool {
    let state = journal.state();
    let is_ours = state.claim.as_ref().is_some_and(|claim| claim.run == run.id);
    is_ours && matches!(&state.phase, Phase::Calling(now) if now.id == open.id)
}
