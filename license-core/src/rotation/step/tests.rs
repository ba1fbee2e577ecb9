//! Tables of single steps; whole walks are in the model.

use alloc::{borrow::ToOwned, boxed::Box, vec};

use super::*;
use crate::key::LicenseKey;

/// As the program is shipped, and with next to no time for anything.
const BOUNDS: [Bounds; 2] = [
    Bounds { preflight_secs: 300, call_secs: 25, settle_secs: 60, look_secs: 120, validate_secs: 240, store_secs: 120 },
    Bounds { preflight_secs: 1, call_secs: 1, settle_secs: 2, look_secs: 1, validate_secs: 1, store_secs: 1 },
];

const NOW_SECS: i64 = 1_000_000;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

fn open() -> Open {
    let terms = IntentTerms {
        epoch: 1,
        old: LicenseKey::parse("K0").unwrap().fingerprint(),
        old_blob: BlobHash::of(b"old"),
        snapshot: Snapshot::default(),
        grace_days: 7,
        call_deadline: at(NOW_SECS),
        stores: vec!["a".to_owned()],
    };
    Open { id: RotationId("r1".to_owned()), since: at(NOW_SECS), terms }
}

/// The state of a run that has the environment from now on.
fn claimed(phase: Phase, run: &Run, bounds: &Bounds, now: Timestamp) -> State {
    let until = later(now, bounds.whole_secs(0));
    let claim = Claim { run: run.id.clone(), actor: crate::trail::Actor::default(), since: now, until };
    State { claim: Some(claim), epoch: 1, phase, ..State::default() }
}

#[test]
fn a_wait_is_never_longer_than_a_claim_and_comes_to_its_end() {
    let settle_untils = [at(NOW_SECS + 1), at(NOW_SECS + 3_600), at(NOW_SECS + 400 * 24 * 60 * 60), Timestamp::MAX];
    for (bounds, settle_until) in BOUNDS.iter().flat_map(|bounds| settle_untils.map(|until| (bounds, until))) {
        let mut run = Run::new(RunId("run-1".to_owned()));
        run.looked = Looked::InEscrow;
        // The claim is taken anew right before each step.
        let claimed_at = |now: Timestamp, run: &Run| {
            let unknown = Phase::Unknown { open: open(), settle_until };
            claimed(unknown, run, bounds, now)
        };
        let next = |run: &Run, now: Timestamp| {
            next(&claimed_at(now, run), run, Wish::Resume, Idempotency::Ignored, bounds, now)
        };
        let now = at(NOW_SECS);
        let Step::Settle { until, .. } = next(&run, now) else { panic!("{settle_until}: {:?}", next(&run, now)) };
        assert_eq!(until, settle_until.min(later(now, bounds.wait_secs_max())), "{settle_until}");
        after_settle(&claimed_at(now, &run), &mut run);
        assert!(matches!(next(&run, until), Step::Reconcile(_)), "{settle_until}: {:?}", next(&run, until));
    }
}

#[test]
fn a_wait_that_was_announced_after_another_is_waited_for_too() {
    let bounds = &BOUNDS[0];
    let mut run = Run::new(RunId("run-1".to_owned()));
    run.looked = Looked::Repeated;
    let state = |settle_until| claimed(Phase::Unknown { open: open(), settle_until }, &run, bounds, at(NOW_SECS));
    let (before, after) = (state(Timestamp::MAX), state(at(NOW_SECS + 110)));
    let mut run = run.clone();
    after_settle(&before, &mut run);
    let step = next(&after, &run, Wish::Resume, Idempotency::Honored, bounds, at(NOW_SECS));
    assert_eq!(step, Step::Settle { open: open(), until: at(NOW_SECS + 110) });
}

#[test]
fn a_run_stops_at_once_unless_it_alone_knows_that_nothing_was_sent() {
    let wrote = |facts: &[Fact]| {
        let mut run = Run::new(RunId("run-1".to_owned()));
        for fact in facts {
            run.wrote(&RotationEvent { rotation_id: open().id, fact: fact.clone() });
        }
        run
    };
    let intent = Fact::Intent(open().terms);
    let mut sent = wrote(core::slice::from_ref(&intent));
    sent.sends();
    let not_sent = Fact::Aborted { why: NotRotated::NotSent };
    let after = Stopping::After(Box::new(RotationEvent { rotation_id: open().id, fact: not_sent }));
    let calling = || Phase::Calling(open());
    for (name, run, phase, expected) in [
        ("nothing begun", wrote(&[]), Phase::default(), Stopping::Now),
        ("a call of its own that was not sent", wrote(&[intent]), calling(), after),
        ("one that was", sent, calling(), Stopping::Now),
        ("somebody else's", wrote(&[]), calling(), Stopping::Now),
    ] {
        assert_eq!(stopping(&State { phase, ..State::default() }, &run), expected, "{name}");
    }
}

#[test]
fn only_a_run_that_gave_up_a_grace_itself_rotates_within_it() {
    let key = |name: &str| LicenseKey::parse(name).unwrap().fingerprint();
    let keys = Keys { open: open(), blob: BlobHash::of(b"new"), new: key("K1"), grace_ends_at: at(NOW_SECS + 900) };
    let wished = |wish: Wish, grace: Grace, run: &Run| {
        let phase = Phase::Committed { keys: keys.clone(), adoption: Adoption::Unproven };
        let state = State { grace, ..claimed(phase, run, &BOUNDS[0], at(NOW_SECS)) };
        next(&state, run, wish, Idempotency::Ignored, &BOUNDS[0], at(NOW_SECS))
    };
    let next = |grace: Grace, run: &Run| wished(Wish::Rotate(Overlap::Waived), grace, run);
    let mut run = Run::new(RunId("run-1".to_owned()));
    for grace in [Grace::Kept, Grace::GivenUp] {
        assert!(matches!(next(grace, &run), Step::Write(event) if event.fact == Fact::OverlapWaived), "{grace:?}");
    }
    run.wrote(&RotationEvent { rotation_id: open().id, fact: Fact::OverlapWaived });
    assert_eq!(next(Grace::GivenUp, &run), Step::Prepare { epoch: 2 });
    // What came to nothing is told as such, and not as the rotation before; unless another run began it.
    let why = NotRotated::NotSent;
    let second = |fact| RotationEvent { rotation_id: RotationId("r2".to_owned()), fact };
    let aborted = second(Fact::Aborted { why: why.clone() });
    let mut others = run.clone();
    others.wrote(&aborted);
    assert!(!matches!(next(Grace::Kept, &others), Step::End(End::Aborted(_))));
    // To whoever asked what came of it it is told, too.
    for wish in [Wish::Resume, Wish::ConfirmNotRotated] {
        assert_eq!(wished(wish, Grace::GivenUp, &others), Step::End(End::Aborted(why.clone())));
    }
    run.wrote(&second(Fact::Intent(open().terms)));
    run.wrote(&aborted);
    assert_eq!(next(Grace::Kept, &run), Step::End(End::Aborted(why)));
}

#[test]
fn a_grace_is_given_up_with_the_new_key_in_hand() {
    let key = |name: &str| LicenseKey::parse(name).unwrap().fingerprint();
    let keys = Keys { open: open(), blob: BlobHash::of(b"new"), new: key("K1"), grace_ends_at: at(NOW_SECS + 9) };
    let (within, after) = (at(NOW_SECS + 8), at(NOW_SECS + 9));
    let table = [
        ("K1", within, None),
        ("K1", after, None),
        ("K0", within, Some(NotCurrent::RotatedAway)),
        ("K0", after, Some(NotCurrent::RotatedAway)),
        ("K2", within, Some(NotCurrent::Unknown)),
        ("K2", after, None),
    ];
    for (name, now, expected) in table {
        assert_eq!(not_current(&keys, key(name), now), expected, "{name} {now}");
    }
}

#[test]
fn an_authority_that_asks_to_wait_is_granted_minutes() {
    for (asked, granted) in [(1, 60), (61, 61), (3_600, RETRY_AFTER_SECS_MAX), (u64::MAX, RETRY_AFTER_SECS_MAX)] {
        let mut run = Run::new(RunId("run-1".to_owned()));
        let outcome = CallOutcome::RetryAfter { secs: asked };
        let end = after_call(&open(), &mut run, &outcome, &BOUNDS[0], at(NOW_SECS));
        let fact = unknown_since(at(NOW_SECS), &format!("the authority asked to wait {asked} s"), granted);
        assert_eq!(end, CallEnd::Write(Box::new(fact)));
    }
}
