//! Where an environment's rotation stands: what replaying the trail gives.

use alloc::{boxed::Box, collections::BTreeSet, string::String};
use core::iter::successors;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    key::Fingerprint,
    rotation::{
        claim::{self, Bounds, Claim, later},
        event::{
            Adoption, BlobHash, BodySource, Fact, IntentTerms, NotRotated, RotationEvent, RotationId, RunId, Which,
        },
    },
    trail::{Event, Record},
};

/// Seconds in a day of grace.
const DAY_SECS: u64 = 24 * 60 * 60;

/// Who has the environment, and where its rotation stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct State {
    /// The claim, if it was not given back. It may have run out.
    pub claim: Option<Claim>,
    /// The epoch of the newest intent; 0 before the first.
    pub epoch: u64,
    /// The rotation.
    pub phase: Phase,
    /// Whether a person gave up the grace of a committed rotation, for another one that may begin now.
    #[serde(default, skip_serializing_if = "Grace::is_kept")]
    pub grace: Grace,
    /// The committed rotation whose grace was given up for the one that is open. Where that never brings a key that works,
    /// this is where things stand again; where it does, what runs may have the old key of this one still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Before>>,
}

/// Whether the old key of a committed rotation may die before its grace ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grace {
    /// It may not.
    #[default]
    Kept,
    /// A person accepts that.
    GivenUp,
}

impl Grace {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_kept(&self) -> bool {
        *self == Self::Kept
    }
}

/// A committed rotation, while the next one is open.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Before {
    /// Both keys.
    pub keys: Keys,
    /// Whether what runs was seen with the new one.
    pub adoption: Adoption,
    /// The one before it, if its grace was given up, too, and nothing shows that what runs has a later key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Before>>,
}

impl Before {
    /// Those of them whose old key may be what runs.
    fn unproven(newest: Option<Box<Self>>) -> Option<Box<Self>> {
        let mut newest = newest?;
        let older = Self::unproven(newest.before.take());
        match newest.adoption {
            Adoption::Unproven => Some(Box::new(Self { before: older, ..*newest })),
            Adoption::Shipped | Adoption::Proved => older,
        }
    }
}

/// What every phase after the intent knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Open {
    /// The rotation's id.
    pub id: RotationId,
    /// When the intent was written: no call was sent before.
    pub since: Timestamp,
    /// What it sets out to do.
    pub terms: IntentTerms,
}

/// What is known once the new key was validated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Keys {
    /// The rotation.
    pub open: Open,
    /// The sealed answer, which holds the new key.
    pub blob: BlobHash,
    /// The new key.
    pub new: Fingerprint,
    /// Until then the old key works: as the authority says, else counted from the intent, the earliest it can be.
    pub grace_ends_at: Timestamp,
}

/// Where the rotation stands. Stores are untouched up to `Promoting`; what runs keeps working in every phase until the grace ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No rotation is open.
    Idle(Last),
    /// The intent is durable. The call may have been sent, and may be lost; nothing else can be.
    Calling(Open),
    /// Nobody knows whether the authority rotated. Time is on our side: the old key works at least until the grace ends.
    Unknown {
        /// The rotation.
        open: Open,
        /// Before this moment nothing may be concluded.
        settle_until: Timestamp,
    },
    /// Rotated, and the new key is gone. Nothing is broken until the deadline.
    KeyLost {
        /// The rotation.
        open: Open,
        /// When the old key may die.
        deadline: Timestamp,
        /// The sealed answer, where it could only be printed: whoever holds the identity can bring it back.
        printed: Option<BlobHash>,
    },
    /// The new key is sealed and durable; nothing can be lost any more.
    Received {
        /// The rotation.
        open: Open,
        /// The sealed answer.
        blob: BlobHash,
    },
    /// The sealed answer gave no key that the authority accepts. Stores hold the old one.
    NewRejected {
        /// The rotation.
        open: Open,
        /// The sealed answer, for a person to read.
        blob: BlobHash,
    },
    /// The new key goes into the stores one by one; both keys work.
    Promoting {
        /// Both keys.
        keys: Keys,
        /// The stores that hold the new key.
        done: BTreeSet<String>,
    },
    /// Every store holds the new key.
    Committed {
        /// Both keys.
        keys: Keys,
        /// Whether what runs was seen with it.
        adoption: Adoption,
    },
    /// A person wants the old key back in the stores.
    RollingBack {
        /// Both keys.
        keys: Keys,
        /// The stores that hold the old key again.
        done: BTreeSet<String>,
    },
    /// Every store holds the old key, which dies when the grace ends.
    RolledBack(Keys),
}

/// How the last rotation ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Last {
    /// There was none.
    #[default]
    None,
    /// The authority did not rotate.
    Aborted(NotRotated),
    /// Rotated, and the old key is dead.
    Closed(Adoption),
    /// Rotated, and a person did not want to wait until the old key is dead. Checkpoints of earlier versions have it.
    OverlapWaived,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Idle(Last::None)
    }
}

/// An entry that does not follow from the ones before it. The trail was written by a newer version, or by hand; nothing may be done on top of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an entry about rotation `{}` does not fit the ones before it: was it written by a newer version?", rotation_id.0)]
pub struct Misfit {
    /// The rotation that the entry names.
    pub rotation_id: RotationId,
}

impl State {
    /// The state after these entries, oldest first.
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Self, Misfit> {
        records.into_iter().try_fold(Self::default(), State::apply)
    }

    /// The state after one more entry.
    pub fn apply(mut self, record: &Record) -> Result<Self, Misfit> {
        match &record.event {
            Event::Claim(event) => self.claim = claim::after(self.claim, event, &record.actor, record.at),
            Event::Rotation(event) => {
                let misfit = Misfit { rotation_id: event.rotation_id.clone() };
                if let Fact::Adopted { proof } = event.fact {
                    return self.adopted(&event.rotation_id, proof).ok_or(misfit);
                }
                if let Fact::Intent(terms) = &event.fact {
                    if terms.epoch != self.epoch + 1 {
                        return Err(misfit);
                    }
                    self.epoch = terms.epoch;
                } else if self.phase.open().map(|open| &open.id) != Some(&event.rotation_id) {
                    return Err(misfit);
                }
                self.phase = self.left_behind(&event.fact).after(event, record.at).ok_or(misfit)?;
                match (&event.fact, self.before.take()) {
                    (Fact::Aborted { .. }, Some(before)) => {
                        self.phase = Phase::Committed { keys: before.keys, adoption: before.adoption };
                        self.before = before.before;
                        self.grace = Grace::GivenUp;
                    }
                    (Fact::Closed { .. }, _) => {}
                    (_, before) => self.before = before,
                }
            }
            Event::DeployStarted { key_fingerprint, .. } => {
                // A run that read the old key before the rotation, and deploys it after another one deployed the new key,
                // undoes that: the old one runs again, and dies with the grace.
                self.each_adoption(|keys, adoption| {
                    if keys.open.terms.old == *key_fingerprint {
                        *adoption = Adoption::Unproven;
                    }
                });
            }
            Event::Issued { .. }
            | Event::Gate(_)
            | Event::GateFailed { .. }
            | Event::DeployEnded { .. }
            | Event::Health { .. }
            | Event::RollbackEnded { .. }
            | Event::Alert(_)
            | Event::Look(_)
            | Event::Webhook(_)
            | Event::Checkpoint(_)
            | Event::NotKnown => {}
        }
        Ok(self)
    }

    /// The rotations whose new key every store holds or held, and whether what runs was seen with it: the one that stands,
    /// and those whose grace was given up for a later one, the newest first.
    pub fn committed(&self) -> impl Iterator<Item = (&Keys, Adoption)> {
        let stands = if let Phase::Committed { keys, adoption } = &self.phase { Some((keys, *adoption)) } else { None };
        let older = successors(self.before.as_deref(), |before| before.before.as_deref());
        stands.into_iter().chain(older.map(|before| (&before.keys, before.adoption)))
    }

    /// Changes what is known of what runs, of each of them in that order.
    fn each_adoption(&mut self, mut change: impl FnMut(&Keys, &mut Adoption)) {
        if let Phase::Committed { keys, adoption } = &mut self.phase {
            change(keys, adoption);
        }
        let mut older = self.before.as_deref_mut();
        while let Some(before) = older {
            change(&before.keys, &mut before.adoption);
            older = before.before.as_deref_mut();
        }
    }

    /// Until when the old key of a committed rotation works for certain: to the end of its grace, unless that was given up.
    /// Then the next call may kill it.
    pub fn certain_until(&self, keys: &Keys) -> Timestamp {
        match self.phase.open().filter(|open| open.id != keys.open.id) {
            Some(next) => keys.grace_ends_at.min(next.since),
            None => keys.grace_ends_at,
        }
    }

    /// The state after it was seen that what runs has the new key of a committed rotation. Then it has no older one either.
    fn adopted(mut self, id: &RotationId, proof: Adoption) -> Option<Self> {
        let mut is_known = false;
        self.each_adoption(|keys, adoption| {
            is_known |= keys.open.id == *id;
            // Of an older one more may be known already.
            if is_known && (keys.open.id == *id || *adoption == Adoption::Unproven) {
                *adoption = proof;
            }
        });
        is_known.then_some(self)
    }

    /// The phase that a fact follows: a new rotation may begin beside a committed one whose grace was given up, which is
    /// kept in mind.
    fn left_behind(&mut self, fact: &Fact) -> Phase {
        let grace = core::mem::take(&mut self.grace);
        match (core::mem::take(&mut self.phase), fact, grace) {
            (Phase::Committed { keys, adoption }, Fact::Intent(_), Grace::GivenUp) => {
                let before = Before::unproven(self.before.take());
                self.before = Some(Box::new(Before { keys, adoption, before }));
                Phase::default()
            }
            (phase @ Phase::Committed { .. }, Fact::OverlapWaived, _) => {
                self.grace = Grace::GivenUp;
                phase
            }
            (phase, _, _) => phase,
        }
    }

    /// The self-check: whether the call of this rotation may be sent at this moment. It is asked of the trail as it is
    /// *now*, right before sending, and what is asked of an older copy is worth nothing.
    pub fn may_call(&self, run: &RunId, id: &RotationId, now: Timestamp, call_secs: u64) -> bool {
        let Phase::Calling(open) = &self.phase else { return false };
        open.id == *id
            && later(now, call_secs) <= open.terms.call_deadline
            && self.claim.as_ref().is_some_and(|claim| claim.lasts(run, now, call_secs))
    }

    /// The self-check of a repeated call, which is sent only where its idempotency key is honored: it was announced,
    /// and it will have settled by the moment that was announced.
    pub fn may_repeat(&self, run: &RunId, id: &RotationId, now: Timestamp, bounds: &Bounds) -> bool {
        let Phase::Unknown { open, settle_until } = &self.phase else { return false };
        open.id == *id
            && later(now, bounds.call_secs.saturating_add(bounds.settle_secs)) <= *settle_until
            && self.claim.as_ref().is_some_and(|claim| claim.lasts(run, now, bounds.call_secs))
    }
}

impl Phase {
    /// The open rotation, if there is one.
    pub fn open(&self) -> Option<&Open> {
        match self {
            Self::Idle(_) => None,
            Self::Calling(open)
            | Self::Unknown { open, .. }
            | Self::KeyLost { open, .. }
            | Self::Received { open, .. }
            | Self::NewRejected { open, .. } => Some(open),
            Self::Promoting { keys, .. }
            | Self::Committed { keys, .. }
            | Self::RollingBack { keys, .. }
            | Self::RolledBack(keys) => Some(&keys.open),
        }
    }

    /// The new key of the open rotation, once it was validated.
    pub fn new_key(&self) -> Option<Fingerprint> {
        match self {
            Self::Promoting { keys, .. }
            | Self::Committed { keys, .. }
            | Self::RollingBack { keys, .. }
            | Self::RolledBack(keys) => Some(keys.new),
            Self::Idle(_)
            | Self::Calling(_)
            | Self::Unknown { .. }
            | Self::KeyLost { .. }
            | Self::Received { .. }
            | Self::NewRejected { .. } => None,
        }
    }

    /// The phase after a fact, or nothing where the fact cannot follow.
    fn after(self, event: &RotationEvent, at: Timestamp) -> Option<Self> {
        match event.fact.clone() {
            Fact::Intent(terms) => {
                let Self::Idle(_) = self else { return None };
                Some(Self::Calling(Open { id: event.rotation_id.clone(), since: at, terms }))
            }
            Fact::OutcomeUnknown { settle_until, .. } => {
                let (Self::Calling(open) | Self::Unknown { open, .. }) = self else { return None };
                Some(Self::Unknown { open, settle_until })
            }
            Fact::Repeating { settle_until } => {
                let Self::Unknown { open, .. } = self else { return None };
                Some(Self::Unknown { open, settle_until })
            }
            Fact::Aborted { why } => {
                let is_open = match self {
                    Self::Calling(_) | Self::Unknown { .. } => true,
                    // Only a person takes back what was concluded, or gives up what was answered.
                    Self::KeyLost { .. } | Self::NewRejected { .. } => why == NotRotated::Confirmed,
                    Self::Idle(_)
                    | Self::Received { .. }
                    | Self::Promoting { .. }
                    | Self::Committed { .. }
                    | Self::RollingBack { .. }
                    | Self::RolledBack(_) => false,
                };
                is_open.then_some(Self::Idle(Last::Aborted(why)))
            }
            Fact::KeyLost { deadline, printed } => {
                let (Self::Calling(open) | Self::Unknown { open, .. }) = self else { return None };
                Some(Self::KeyLost { open, deadline, printed })
            }
            Fact::Received { blob, source } => self.received(blob, source),
            Fact::NewRejected { .. } => {
                // Also when a later run looks again and sees the same.
                let (Self::Received { open, blob } | Self::NewRejected { open, blob }) = self else { return None };
                Some(Self::NewRejected { open, blob })
            }
            Fact::Validated { new, grace_ends_at } => {
                let (Self::Received { open, blob } | Self::NewRejected { open, blob }) = self else { return None };
                let grace_ends_at = grace_ends_at.unwrap_or_else(|| open.grace_end_earliest());
                Some(Self::Promoting { keys: Keys { open, blob, new, grace_ends_at }, done: BTreeSet::new() })
            }
            Fact::StoreHolds { store, key } => self.with_store(store, key),
            Fact::StoreFailed { .. } => {
                matches!(self, Self::Promoting { .. } | Self::RollingBack { .. }).then_some(self)
            }
            Fact::Committed => {
                let Self::Promoting { keys, done } = self else { return None };
                let all = keys.open.missing(&done).next().is_none();
                all.then_some(Self::Committed { keys, adoption: Adoption::Unproven })
            }
            Fact::RollbackStarted => {
                let (Self::Promoting { keys, .. } | Self::Committed { keys, .. }) = self else { return None };
                Some(Self::RollingBack { keys, done: BTreeSet::new() })
            }
            Fact::RolledBack => {
                let Self::RollingBack { keys, done } = self else { return None };
                let all = keys.open.missing(&done).next().is_none();
                all.then_some(Self::RolledBack(keys))
            }
            Fact::RolledForward => {
                let (Self::RollingBack { keys, .. } | Self::RolledBack(keys)) = self else { return None };
                Some(Self::Promoting { keys, done: BTreeSet::new() })
            }
            Fact::OverlapWaived => matches!(self, Self::Committed { .. }).then_some(self),
            Fact::Closed { adoption } => {
                let Self::Committed { .. } = self else { return None };
                Some(Self::Idle(Last::Closed(adoption)))
            }
            // What runs changes no phase: the state has it.
            Fact::Adopted { .. } | Fact::NotKnown => None,
        }
    }

    /// A new key comes back from wherever it was, as long as none is in use. A person may replace one that was rejected,
    /// and bring one again whose sealed answer is lost: once it was validated it is the same key.
    fn received(self, blob: BlobHash, source: BodySource) -> Option<Self> {
        match (self, source) {
            (Self::Calling(open) | Self::Unknown { open, .. } | Self::KeyLost { open, .. }, _)
            | (Self::NewRejected { open, .. } | Self::Received { open, .. }, BodySource::Portal) => {
                Some(Self::Received { open, blob })
            }
            (Self::Promoting { keys, done }, BodySource::Portal) => {
                Some(Self::Promoting { keys: Keys { blob, ..keys }, done })
            }
            (
                Self::NewRejected { .. }
                | Self::Idle(_)
                | Self::Received { .. }
                | Self::Promoting { .. }
                | Self::Committed { .. }
                | Self::RollingBack { .. }
                | Self::RolledBack(_),
                _,
            ) => None,
        }
    }

    fn with_store(mut self, store: String, key: Which) -> Option<Self> {
        match (&mut self, key) {
            (Self::Promoting { done, .. }, Which::New) | (Self::RollingBack { done, .. }, Which::Old) => {
                done.insert(store);
                Some(self)
            }
            (
                Self::Promoting { .. }
                | Self::RollingBack { .. }
                | Self::Idle(_)
                | Self::Calling(_)
                | Self::Unknown { .. }
                | Self::KeyLost { .. }
                | Self::Received { .. }
                | Self::NewRejected { .. }
                | Self::Committed { .. }
                | Self::RolledBack(_),
                Which::Old | Which::New,
            ) => None,
        }
    }
}

impl Open {
    /// The earliest moment at which the old key can die of this rotation: the grace counted from the intent.
    pub fn grace_end_earliest(&self) -> Timestamp {
        self.grace_end_of(self.since)
    }

    /// When the grace of a rotation ends that was made at this moment.
    pub(super) fn grace_end_of(&self, made_at: Timestamp) -> Timestamp {
        later(made_at, u64::from(self.terms.grace_days).saturating_mul(DAY_SECS))
    }

    /// The stores that are not done yet, in the order of the intent.
    pub(super) fn missing<'a>(&'a self, done: &'a BTreeSet<String>) -> impl Iterator<Item = &'a String> {
        self.terms.stores.iter().filter(|store| !done.contains(*store))
    }
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned, vec, vec::Vec};

    use super::*;
    use crate::{
        key::LicenseKey,
        rotation::event::{BodySource, Snapshot},
        trail::Actor,
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    fn fingerprint(key: &str) -> Fingerprint {
        LicenseKey::parse(key).unwrap().fingerprint()
    }

    fn id(name: &str) -> RotationId {
        RotationId(name.to_owned())
    }

    fn record(secs: i64, event: Event) -> Record {
        Record { at: at(secs), actor: Actor::default(), environment: "production".to_owned(), event }
    }

    fn facts(facts: Vec<Fact>) -> Vec<Record> {
        let event = |fact| Event::Rotation(RotationEvent { rotation_id: id("r1"), fact });
        (10..).zip(facts).map(|(secs, fact)| record(secs, event(fact))).collect()
    }

    fn intent(epoch: u64) -> Fact {
        Fact::Intent(IntentTerms {
            epoch,
            old: fingerprint("K0"),
            old_blob: BlobHash::of(b"old"),
            snapshot: Snapshot::default(),
            grace_days: 7,
            call_deadline: at(40),
            stores: vec!["a".to_owned(), "b".to_owned()],
        })
    }

    fn received() -> Fact {
        Fact::Received { blob: BlobHash::of(b"new"), source: BodySource::Answer }
    }

    fn validated() -> Fact {
        Fact::Validated { new: fingerprint("K1"), grace_ends_at: None }
    }

    fn holds(store: &str, key: Which) -> Fact {
        Fact::StoreHolds { store: store.to_owned(), key }
    }

    fn replayed(history: Vec<Fact>) -> Result<Phase, Misfit> {
        State::replay(&facts(history)).map(|state| state.phase)
    }

    #[test]
    fn a_rotation_is_replayed_from_its_intent_to_its_end() {
        let mut history = vec![intent(1), received(), validated(), holds("a", Which::New), holds("b", Which::New)];
        history.push(Fact::Committed);
        let Ok(Phase::Committed { keys, adoption }) = replayed(history.clone()) else { panic!("not committed") };
        assert_eq!(adoption, Adoption::Unproven);
        assert_eq!(keys.grace_ends_at, at(10 + 7 * 24 * 60 * 60), "counted from the intent");
        history.extend([Fact::Adopted { proof: Adoption::Proved }, Fact::Closed { adoption: Adoption::Proved }]);
        assert_eq!(replayed(history), Ok(Phase::Idle(Last::Closed(Adoption::Proved))));
    }

    #[test]
    fn a_grace_that_was_given_up_is_over_once_the_next_rotation_has_brought_a_key_that_works() {
        let mut first = vec![intent(1), received(), validated(), holds("a", Which::New), holds("b", Which::New)];
        first.push(Fact::Committed);
        let committed = replayed(first.clone()).unwrap();
        let event = |id: &str, fact: Fact| RotationEvent { rotation_id: RotationId(id.to_owned()), fact };
        let next = |more: &[(&str, Fact)]| {
            let more = more.iter().map(|(id, fact)| Event::Rotation(event(id, fact.clone())));
            let more = (100..).zip(more).map(|(secs, event)| record(secs, event));
            State::replay(&facts(first.clone()).into_iter().chain(more).collect::<Vec<_>>())
        };
        let (waived, aborted) = (("r1", Fact::OverlapWaived), Fact::Aborted { why: NotRotated::NotSent });
        assert!(next(&[("r2", intent(2))]).is_err(), "it was not given up");
        let given_up = next(&[waived.clone(), waived.clone()]).unwrap();
        assert_eq!((&given_up.phase, given_up.grace), (&committed, Grace::GivenUp));
        let resumed = next(&[waived.clone(), ("r1", Fact::RollbackStarted)]).unwrap();
        assert_eq!(resumed.grace, Grace::Kept);
        let calling = next(&[waived.clone(), ("r2", intent(2))]).unwrap();
        assert!(matches!(&calling.phase, Phase::Calling(open) if open.id.0 == "r2") && calling.before.is_some());
        let back = next(&[waived.clone(), ("r2", intent(2)), ("r2", aborted.clone())]).unwrap();
        assert_eq!((&back.phase, back.grace, &back.before), (&committed, Grace::GivenUp, &None));
        // As earlier versions go on after that.
        let again = next(&[waived.clone(), ("r2", intent(2)), ("r2", aborted.clone()), ("r3", intent(3))]).unwrap();
        assert!(matches!(&again.phase, Phase::Calling(open) if open.id.0 == "r3"));
        let brought = |more: &[(&str, Fact)]| {
            next(&[&[waived.clone(), ("r2", intent(2)), ("r2", received())], more].concat()).unwrap()
        };
        assert!(brought(&[]).before.is_some(), "nobody knows yet whether it works");
        let confirmed = Fact::Aborted { why: NotRotated::Confirmed };
        let rejected = Fact::NewRejected { why: "no key".to_owned() };
        assert_eq!(brought(&[("r2", rejected), ("r2", confirmed)]).phase, committed);
        let works = brought(&[("r2", validated())]);
        assert!(
            matches!(works.phase, Phase::Promoting { .. }) && works.before.is_some(),
            "what runs may have the old key"
        );
        let closed = [validated(), holds("a", Which::New), holds("b", Which::New), Fact::Committed];
        let closed = closed.into_iter().chain([Fact::Closed { adoption: Adoption::Unproven }]);
        assert!(brought(&closed.map(|fact| ("r2", fact)).collect::<Vec<_>>()).before.is_none());
    }

    #[test]
    fn what_runs_is_known_of_a_rotation_whose_grace_was_given_up_too() {
        use Adoption::{Proved, Shipped, Unproven};
        let event = |name: &str, fact: Fact| Event::Rotation(RotationEvent { rotation_id: id(name), fact });
        let rotated_after = |name: &str| {
            let facts = [received(), validated(), holds("a", Which::New), holds("b", Which::New), Fact::Committed];
            facts.map(|fact| event(name, fact)).to_vec()
        };
        let rotated = |name: &str, epoch| [vec![event(name, intent(epoch))], rotated_after(name)].concat();
        let deploys = |key: &str| Event::DeployStarted { release: "r".to_owned(), key_fingerprint: fingerprint(key) };
        let adopted = |name, proof| event(name, Fact::Adopted { proof });
        let after = |events: &[Event]| {
            let all = [&rotated("r1", 1)[..], &[event("r1", Fact::OverlapWaived)], events].concat();
            let records: Vec<Record> = (10..).zip(all).map(|(secs, event)| record(secs, event)).collect();
            State::replay(&records).map(|state| state.committed().map(|(_, adoption)| adoption).collect::<Vec<_>>())
        };
        let (begun, aborted) = (event("r2", intent(2)), event("r2", Fact::Aborted { why: NotRotated::NotSent }));
        let next = rotated("r2", 2);
        assert_eq!(after(core::slice::from_ref(&begun)), Ok(vec![Unproven]));
        assert_eq!(after(&[begun.clone(), adopted("r1", Shipped)]), Ok(vec![Shipped]));
        assert_eq!(after(&[begun.clone(), adopted("r1", Shipped), deploys("K0")]), Ok(vec![Unproven]));
        assert_eq!(after(&[begun.clone(), adopted("r1", Shipped), aborted]), Ok(vec![Shipped]));
        assert!(after(&[begun, adopted("r2", Shipped)]).is_err(), "it has brought no key");
        assert_eq!(after(&next), Ok(vec![Unproven, Unproven]));
        let then = |events: &[Event]| after(&[&next[..], events].concat());
        assert_eq!(then(&[adopted("r1", Shipped)]), Ok(vec![Unproven, Shipped]));
        assert_eq!(then(&[adopted("r2", Proved)]), Ok(vec![Proved, Proved]));
        // Both rotations of this test begin with this key.
        assert_eq!(then(&[adopted("r2", Proved), deploys("K0")]), Ok(vec![Unproven, Unproven]));
        assert!(then(&[adopted("r3", Proved)]).is_err());
        // Whoever gives up one grace after the other has all of their keys to be told of.
        let third = [event("r2", Fact::OverlapWaived), event("r3", intent(3))];
        let refused = event("r3", Fact::Aborted { why: NotRotated::NotSent });
        assert_eq!(then(&third), Ok(vec![Unproven, Unproven]));
        assert_eq!(then(&[&third[..], core::slice::from_ref(&refused)].concat()), Ok(vec![Unproven, Unproven]));
        let later = [&[adopted("r2", Shipped)][..], &third].concat();
        assert_eq!(then(&later), Ok(vec![Shipped]), "what runs has none of the first one");
        assert_eq!(then(&[&third[..], &[adopted("r2", Shipped)]].concat()), Ok(vec![Shipped, Shipped]));
        // Also where the one between is known to have been used: the oldest key was deployed again.
        let new_rotation = |name: &str, epoch, old: &str| {
            let Fact::Intent(terms) = intent(epoch) else { unreachable!() };
            let begins = event(name, Fact::Intent(IntentTerms { old: fingerprint(old), ..terms }));
            [vec![begins], rotated_after(name)].concat()
        };
        let waived = |name: &str| event(name, Fact::OverlapWaived);
        let again = [new_rotation("r2", 2, "K1"), vec![adopted("r2", Proved), deploys("K0"), waived("r2")]].concat();
        let again = [again, new_rotation("r3", 3, "K2"), vec![waived("r3"), event("r4", intent(4))]].concat();
        assert_eq!(after(&again), Ok(vec![Unproven, Unproven]));
        let used =
            [&again[..again.len() - 2], &[adopted("r3", Proved), deploys("K0")], &again[again.len() - 2..]].concat();
        assert_eq!(after(&used), Ok(vec![Proved, Unproven]));
        assert_eq!(then(&[&third[..], &[refused, adopted("r2", Shipped)]].concat()), Ok(vec![Shipped, Shipped]));
    }

    #[test]
    fn a_deploy_of_the_old_key_undoes_the_adoption_of_the_new_one() {
        let mut history = vec![intent(1), received(), validated(), holds("a", Which::New), holds("b", Which::New)];
        history.extend([Fact::Committed, Fact::Adopted { proof: Adoption::Proved }]);
        for (key, expected) in [("K1", Adoption::Proved), ("other", Adoption::Proved), ("K0", Adoption::Unproven)] {
            let mut records = facts(history.clone());
            let mut deploy = records[0].clone();
            deploy.event = Event::DeployStarted { release: "r".to_owned(), key_fingerprint: fingerprint(key) };
            records.push(deploy.clone());
            let state = State::replay(&records).unwrap();
            assert!(matches!(state.phase, Phase::Committed { adoption, .. } if adoption == expected), "{state:?}");
            // Before the stores hold the new key, the old one is what is to be deployed.
            let before = State::replay(&[&facts(history[..4].to_vec())[..], &[deploy]].concat()).unwrap();
            assert!(matches!(before.phase, Phase::Promoting { .. }), "{before:?}");
        }
    }

    #[test]
    fn what_does_not_follow_is_a_misfit() {
        let unknown = || Fact::OutcomeUnknown { why: "timeout".to_owned(), settle_until: at(90) };
        let lost = || Fact::KeyLost { deadline: at(99), printed: None };
        let rejected = || Fact::NewRejected { why: "no".to_owned() };
        let table = [
            vec![received()],
            vec![intent(2)],
            vec![intent(1), intent(2)],
            vec![intent(1), validated()],
            vec![intent(1), received(), Fact::KeyLost { deadline: at(1), printed: None }],
            vec![intent(1), received(), Fact::NewRejected { why: "no".to_owned() }, received()],
            vec![intent(1), received(), validated(), Fact::OverlapWaived],
            vec![intent(1), received(), validated(), Fact::RolledBack],
            vec![intent(1), received(), validated(), Fact::RolledForward],
            vec![intent(1), received(), validated(), Fact::RollbackStarted, holds("a", Which::New)],
            vec![intent(1), received(), validated(), Fact::RollbackStarted, holds("a", Which::Old), Fact::RolledBack],
            vec![intent(1), received(), validated(), Fact::Closed { adoption: Adoption::Unproven }],
            vec![intent(1), received(), Fact::Aborted { why: NotRotated::NotSent }],
            vec![intent(1), lost(), Fact::Aborted { why: NotRotated::Reconciled }],
            vec![intent(1), received(), rejected(), Fact::Aborted { why: NotRotated::NotSent }],
            vec![intent(1), received(), Fact::Aborted { why: NotRotated::Confirmed }],
            vec![intent(1), received(), validated(), Fact::Aborted { why: NotRotated::Confirmed }],
            vec![intent(1), received(), unknown()],
            vec![intent(1), received(), validated(), holds("a", Which::New), Fact::Committed],
            vec![intent(1), received(), validated(), holds("a", Which::Old)],
            vec![intent(1), Fact::NotKnown],
        ];
        for history in table {
            assert_eq!(replayed(history.clone()), Err(Misfit { rotation_id: id("r1") }), "{history:?}");
        }
    }

    #[test]
    fn a_new_key_may_be_refused_again_and_accepted_in_the_end() {
        let rejected = || Fact::NewRejected { why: "no".to_owned() };
        let mut history = vec![intent(1), received(), rejected(), rejected()];
        assert!(matches!(replayed(history.clone()), Ok(Phase::NewRejected { .. })));
        history.push(validated());
        assert!(matches!(replayed(history), Ok(Phase::Promoting { .. })));
    }

    #[test]
    fn a_sealed_answer_that_is_lost_may_be_brought_again_and_nothing_else_changes() {
        let brought = || Fact::Received { blob: BlobHash::of(b"again"), source: BodySource::Portal };
        let Ok(Phase::Received { blob, .. }) = replayed(vec![intent(1), received(), brought()]) else {
            panic!("not received")
        };
        assert_eq!(blob, BlobHash::of(b"again"));
        let history = vec![intent(1), received(), validated(), holds("a", Which::New), brought()];
        let Ok(Phase::Promoting { keys, done }) = replayed(history.clone()) else { panic!("not promoting") };
        assert_eq!((keys.blob, keys.new), (BlobHash::of(b"again"), fingerprint("K1")));
        assert_eq!(done, BTreeSet::from(["a".to_owned()]));
        let answered = [history, vec![received()]].concat();
        assert!(replayed(answered).is_err(), "only a person brings it again");
    }

    #[test]
    fn a_person_may_take_back_that_a_key_is_lost_or_give_up_an_answer() {
        let confirmed = || Fact::Aborted { why: NotRotated::Confirmed };
        let lost = Fact::KeyLost { deadline: at(99), printed: None };
        let rejected = Fact::NewRejected { why: "no".to_owned() };
        for history in [vec![intent(1), lost, confirmed()], vec![intent(1), received(), rejected, confirmed()]] {
            assert_eq!(replayed(history), Ok(Phase::Idle(Last::Aborted(NotRotated::Confirmed))));
        }
    }

    #[test]
    fn an_entry_about_another_rotation_is_a_misfit() {
        let mut records = facts(vec![intent(1)]);
        let other = RotationEvent { rotation_id: id("r2"), fact: received() };
        records.push(record(20, Event::Rotation(other)));
        assert_eq!(State::replay(&records), Err(Misfit { rotation_id: id("r2") }));
    }

    #[test]
    fn a_body_is_still_received_after_the_outcome_was_unknown_or_the_key_was_called_lost() {
        let unknown = Fact::OutcomeUnknown { why: "timeout".to_owned(), settle_until: at(90) };
        for history in [
            vec![intent(1), unknown.clone(), received()],
            vec![intent(1), unknown, Fact::KeyLost { deadline: at(99), printed: None }, received()],
        ] {
            assert!(matches!(replayed(history), Ok(Phase::Received { .. })));
        }
    }

    #[test]
    fn the_self_check_lets_only_the_holder_call_in_time_and_under_the_open_intent() {
        let run = |name: &str| RunId(name.to_owned());
        let claimed = |until| {
            let event = crate::rotation::ClaimEvent::Claimed { run: run("a"), until: at(until) };
            record(1, Event::Claim(event))
        };
        let calling = |until| {
            let mut records = vec![claimed(until)];
            records.extend(facts(vec![intent(1)]));
            State::replay(&records).unwrap()
        };
        assert!(calling(100).may_call(&run("a"), &id("r1"), at(20), 20));
        assert!(!calling(100).may_call(&run("a"), &id("r1"), at(21), 20), "past the call's deadline");
        assert!(!calling(40).may_call(&run("a"), &id("r1"), at(20), 20), "the claim has no time to spare");
        assert!(!calling(100).may_call(&run("b"), &id("r1"), at(20), 20), "somebody else's claim");
        assert!(!calling(100).may_call(&run("a"), &id("r2"), at(20), 20), "another intent");
        assert!(!State::default().may_call(&run("a"), &id("r1"), at(20), 20), "no intent");
    }
}
