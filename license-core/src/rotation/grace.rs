//! What a deploy has to know about an open rotation: which key it ships, and how long that one still works.

use jiff::Timestamp;

use crate::{
    key::Fingerprint,
    rotation::{
        claim::secs_until,
        event::{Adoption, Fact, RotationEvent},
        state::{Keys, Phase, State},
    },
};

/// The hours of remaining grace at which a look at the old key becomes a warning, the tightest last.
pub const GRACE_WARN_HOURS: [u64; 3] = [72, 24, 6];
/// With less grace left than this a deploy of the old key would break soon after: it is not let go. In seconds.
pub const GRACE_SHIP_SECS_MIN: u64 = 60 * 60;

/// What the key of a deploy is to the rotation that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipping {
    /// No rotation concerns it.
    Unconcerned,
    /// It is the new key.
    NewKey,
    /// It is the old key, which works until then.
    OldKey {
        /// When it may die.
        until: Timestamp,
        /// How soon that is.
        left: GraceLeft,
    },
}

/// How much of a grace is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraceLeft {
    /// More than the widest warning.
    Enough,
    /// No more than this many hours, one of [`GRACE_WARN_HOURS`].
    UnderHours(u64),
    /// Too little for a deploy.
    TooLittle,
}

/// What the key is to the rotation of its environment.
pub fn shipping(state: &State, key: &Fingerprint, now: Timestamp) -> Shipping {
    let (old, until) = match &state.phase {
        Phase::Idle(_) => return Shipping::Unconcerned,
        // Nobody knows whether the authority rotated: the old key works at least that long.
        Phase::Calling(open)
        | Phase::Unknown { open, .. }
        | Phase::Received { open, .. }
        | Phase::NewRejected { open, .. } => (open.terms.old, open.grace_end_earliest()),
        Phase::KeyLost { open, deadline, .. } => (open.terms.old, *deadline),
        Phase::Promoting { keys, .. }
        | Phase::Committed { keys, .. }
        | Phase::RollingBack { keys, .. }
        | Phase::RolledBack(keys) => {
            if *key == keys.new {
                return Shipping::NewKey;
            }
            (keys.open.terms.old, keys.grace_ends_at)
        }
    };
    // The rotation whose grace was given up for this one has an old key, too.
    let others = state.committed().map(|(keys, _)| (keys.open.terms.old, state.certain_until(keys)));
    match [(old, until)].into_iter().chain(others).find(|(old, _)| old == key) {
        Some((_, until)) => Shipping::OldKey { until, left: left(now, until) },
        None => Shipping::Unconcerned,
    }
}

fn left(now: Timestamp, until: Timestamp) -> GraceLeft {
    let secs = secs_until(now, until);
    if secs < GRACE_SHIP_SECS_MIN {
        return GraceLeft::TooLittle;
    }
    let tightest = GRACE_WARN_HOURS.iter().rev().find(|hours| secs <= **hours * 60 * 60);
    tightest.map_or(GraceLeft::Enough, |hours| GraceLeft::UnderHours(*hours))
}

/// How long the old key still works where a deploy would ship the new one and none was seen to: what runs may hold the
/// old one. Nothing where no rotation waits for that.
pub fn not_adopted(state: &State, key: &Fingerprint, now: Timestamp) -> Option<(Timestamp, GraceLeft)> {
    let reads_it = |keys: &Keys| [Some(keys.new), state.phase.new_key()].contains(&Some(*key));
    let unproven = state.committed().filter(|(keys, adoption)| *adoption == Adoption::Unproven && reads_it(keys));
    let until = unproven.map(|(keys, _)| state.certain_until(keys)).min()?;
    Some((until, left(now, until)))
}

/// The entry after a deploy that shipped a key and ended well, where it says more than the trail knows already.
pub fn adopted(state: &State, key: &Fingerprint, proof: Adoption) -> Option<RotationEvent> {
    // What runs with the new key of the rotation that is open, or with the one that this is to replace, has none that is
    // older.
    let of_next = [state.phase.new_key(), state.phase.open().map(|open| open.terms.old)];
    let is_after = |keys: &Keys| {
        let is_open = state.phase.open().is_some_and(|open| open.id == keys.open.id);
        keys.new == *key || (!is_open && of_next.contains(&Some(*key)))
    };
    let (keys, _) = state.committed().find(|(keys, adoption)| is_after(keys) && says_more(*adoption, proof))?;
    Some(RotationEvent { rotation_id: keys.open.id.clone(), fact: Fact::Adopted { proof } })
}

fn says_more(adoption: Adoption, proof: Adoption) -> bool {
    match (adoption, proof) {
        (Adoption::Unproven, Adoption::Shipped | Adoption::Proved) | (Adoption::Shipped, Adoption::Proved) => true,
        (Adoption::Unproven | Adoption::Shipped | Adoption::Proved, Adoption::Unproven)
        | (Adoption::Shipped | Adoption::Proved, Adoption::Shipped)
        | (Adoption::Proved, Adoption::Proved) => false,
    }
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned, boxed::Box, collections::BTreeSet};

    use super::*;
    use crate::{
        key::LicenseKey,
        rotation::{Before, BlobHash, IntentTerms, Keys, Open, RotationId, Snapshot},
    };

    const HOUR: i64 = 60 * 60;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    fn key(name: &str) -> Fingerprint {
        LicenseKey::parse(name).unwrap().fingerprint()
    }

    fn keys() -> Keys {
        let terms = IntentTerms {
            epoch: 1,
            old: key("K0"),
            old_blob: BlobHash::of(b"old"),
            snapshot: Snapshot::default(),
            grace_days: 7,
            call_deadline: at(40),
            stores: alloc::vec!["a".to_owned()],
        };
        let open = Open { id: RotationId("r1".to_owned()), since: at(0), terms };
        Keys { open, blob: BlobHash::of(b"new"), new: key("K1"), grace_ends_at: at(100 * HOUR) }
    }

    fn state(phase: Phase) -> State {
        State { epoch: 1, phase, ..State::default() }
    }

    #[test]
    fn the_old_key_is_told_how_long_it_works() {
        let promoting = state(Phase::Promoting { keys: keys(), done: BTreeSet::new() });
        let table = [
            (0, GraceLeft::Enough),
            (28 * HOUR - 1, GraceLeft::Enough),
            (28 * HOUR, GraceLeft::UnderHours(72)),
            (76 * HOUR, GraceLeft::UnderHours(24)),
            (94 * HOUR, GraceLeft::UnderHours(6)),
            (99 * HOUR, GraceLeft::UnderHours(6)),
            (99 * HOUR + 1, GraceLeft::TooLittle),
            (200 * HOUR, GraceLeft::TooLittle),
        ];
        for (now, left) in table {
            let expected = Shipping::OldKey { until: at(100 * HOUR), left };
            assert_eq!(shipping(&promoting, &key("K0"), at(now)), expected, "{now}");
        }
        assert_eq!(shipping(&promoting, &key("K1"), at(200 * HOUR)), Shipping::NewKey);
        assert_eq!(shipping(&promoting, &key("K2"), at(0)), Shipping::Unconcerned);
        assert_eq!(shipping(&State::default(), &key("K0"), at(0)), Shipping::Unconcerned);
    }

    #[test]
    fn a_new_key_that_nothing_was_seen_to_use_is_told_how_long_the_old_one_works() {
        let committed = |adoption| state(Phase::Committed { keys: keys(), adoption });
        let until = at(100 * HOUR);
        let table = [(0, GraceLeft::Enough), (94 * HOUR, GraceLeft::UnderHours(6)), (101 * HOUR, GraceLeft::TooLittle)];
        for (now, left) in table {
            assert_eq!(not_adopted(&committed(Adoption::Unproven), &key("K1"), at(now)), Some((until, left)), "{now}");
            for adoption in [Adoption::Shipped, Adoption::Proved] {
                assert_eq!(not_adopted(&committed(adoption), &key("K1"), at(now)), None, "{adoption:?}");
            }
        }
        assert_eq!(not_adopted(&committed(Adoption::Unproven), &key("K0"), at(0)), None);
        assert_eq!(not_adopted(&State::default(), &key("K1"), at(0)), None);
    }

    #[test]
    fn the_old_key_of_the_rotation_before_is_told_how_long_it_works() {
        let terms = IntentTerms { old: key("K1"), ..keys().open.terms };
        let open = Open { id: RotationId("r2".to_owned()), since: at(10 * HOUR), terms };
        let before = Some(Box::new(Before { keys: keys(), adoption: Adoption::Unproven, before: None }));
        let calling = State { before, ..state(Phase::Calling(open.clone())) };
        let old = |until, left| Shipping::OldKey { until: at(until), left };
        // The call may kill it.
        assert_eq!(shipping(&calling, &key("K0"), at(30 * HOUR)), old(10 * HOUR, GraceLeft::TooLittle));
        assert_eq!(shipping(&calling, &key("K1"), at(30 * HOUR)), old(178 * HOUR, GraceLeft::Enough));
        assert_eq!(shipping(&calling, &key("K2"), at(30 * HOUR)), Shipping::Unconcerned);
        let written = |state: &State, name: &str| Some(adopted(state, &key(name), Adoption::Shipped)?.rotation_id.0);
        assert_eq!(written(&calling, "K1").as_deref(), Some("r1"));
        assert_eq!(written(&calling, "K2"), None);
        // Until the next call nothing is certain but what was before it.
        assert_eq!(not_adopted(&calling, &key("K1"), at(30 * HOUR)), Some((at(10 * HOUR), GraceLeft::TooLittle)));
        let other = Open { terms: IntentTerms { old: key("K9"), ..open.terms.clone() }, ..open.clone() };
        let replaced = State { phase: Phase::Calling(other), ..calling.clone() };
        assert_eq!(written(&replaced, "K9").as_deref(), Some("r1"), "what runs has neither of its keys");
        let next = Keys { open, new: key("K2"), grace_ends_at: at(200 * HOUR), ..keys() };
        let committed = State { phase: Phase::Committed { keys: next, adoption: Adoption::Unproven }, ..calling };
        assert_eq!(written(&committed, "K2").as_deref(), Some("r2"));
        assert_eq!(written(&committed, "K1").as_deref(), Some("r1"));
        assert_eq!(not_adopted(&committed, &key("K2"), at(30 * HOUR)), Some((at(10 * HOUR), GraceLeft::TooLittle)));
    }

    #[test]
    fn adoption_is_written_once_and_never_taken_back() {
        use Adoption::{Proved, Shipped, Unproven};
        let table = [
            (Unproven, Unproven, false),
            (Unproven, Shipped, true),
            (Unproven, Proved, true),
            (Shipped, Shipped, false),
            (Shipped, Proved, true),
            (Proved, Proved, false),
            (Proved, Shipped, false),
        ];
        for (adoption, proof, written) in table {
            let committed = state(Phase::Committed { keys: keys(), adoption });
            assert_eq!(adopted(&committed, &key("K1"), proof).is_some(), written, "{adoption:?} {proof:?}");
            assert_eq!(adopted(&committed, &key("K0"), proof), None);
        }
        let promoting = state(Phase::Promoting { keys: keys(), done: BTreeSet::new() });
        assert_eq!(adopted(&promoting, &key("K1"), Proved), None);
    }
}
